//! `ingest`: the first node of every path; reads the document.

use graft_client::{Node, NodeContext, NodeResult, Outcome};

use super::{Document, Validate, passed};

/// Takes a document in: line endings, byte order mark, checksum.
pub struct Ingest;

impl Node for Ingest {
    const NAME: &'static str = "ingest";
    type State = Document;
    type Config = ();

    async fn execute(&self, cx: NodeContext, document: Document, (): ()) -> NodeResult<Document> {
        cx.progress(format!("{} bytes", document.text.len()));
        let text = document.text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let checksum = format!("{:016x}", fnv(text.as_bytes()));
        Ok(passed(Self::NAME, Outcome::state(Document { text, checksum, ..document })).next(Validate::with(())))
    }
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
