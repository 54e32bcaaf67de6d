//! Compiles the .proto files with protox: pure Rust, no protoc.
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 9] = [
        "graft/v1/access.proto",
        "graft/v1/common.proto",
        "graft/v1/workflow.proto",
        "graft/v1/task.proto",
        "graft/v1/event.proto",
        "graft/v1/worker.proto",
        "graft/v1/cluster.proto",
        "graft/v1/membership.proto",
        "graft/peer/v1/raft.proto",
    ];
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, [PathBuf::from(".")])?;
    // What reflection tells: the public protocol, and nothing of what members speak among themselves.
    let mut public = descriptors.clone();
    public.file.retain(|file| file.package() == "graft.v1");
    std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("graft.v1.bin"), public.encode_to_vec())?;
    // What is printed of these is written by hand: `src/secrets.rs`.
    let secret = ["graft.v1.CreateTokenResponse", "graft.v1.CreateJoinTokenResponse", "graft.peer.v1.JoinRequest"];
    tonic_prost_build::configure().bytes(".").skip_debug(secret).compile_fds(descriptors)?;
    Ok(())
}
