//! Compiles the .proto files with protox: pure Rust, no protoc.
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 7] = [
        "graft/v1/common.proto",
        "graft/v1/workflow.proto",
        "graft/v1/task.proto",
        "graft/v1/event.proto",
        "graft/v1/worker.proto",
        "graft/v1/cluster.proto",
        "graft/peer/v1/raft.proto",
    ];
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, [PathBuf::from(".")])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
