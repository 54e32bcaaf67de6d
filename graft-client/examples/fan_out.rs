//! Fan-out and join: the chapters of a book are counted side by side, and added up when all are done.
//!
//! `cargo run -p graft-client --example fan_out` starts a server of its own; `--addr URL` takes another one.

use std::collections::BTreeMap;
use std::error::Error;

use clap::Parser;
use graft_client::{Node, NodeContext, NodeResult, Outcome, StartWorkflow, WorkerBuilder};
use serde::{Deserialize, Serialize};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

/// What the workflow knows.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The chapters.
    pub chapters: Vec<String>,
    /// Words of each chapter, by its number.
    #[serde(default)]
    pub words: BTreeMap<usize, usize>,
    /// Words in all, once they are added up.
    pub total: Option<usize>,
}

struct Split;

impl Node for Split {
    const NAME: &'static str = "split";
    type State = Book;
    type Config = ();

    async fn execute(&self, _: NodeContext, book: Book, (): ()) -> NodeResult<Book> {
        let counts = (0..book.chapters.len()).map(Count::with);
        Ok(Outcome::done().fan_out(counts).join(Sum::with(())))
    }
}

struct Count;

impl Node for Count {
    const NAME: &'static str = "count";
    type State = Book;
    type Config = usize;

    async fn execute(&self, _: NodeContext, mut book: Book, number: usize) -> NodeResult<Book> {
        let words = book.chapters[number].split_whitespace().count();
        // Each branch returns the whole state; only the entry that it added is sent, so that none overwrites another's.
        book.words.insert(number, words);
        Ok(Outcome::state(book))
    }
}

struct Sum;

impl Node for Sum {
    const NAME: &'static str = "sum";
    type State = Book;
    type Config = ();

    async fn execute(&self, _: NodeContext, book: Book, (): ()) -> NodeResult<Book> {
        Ok(Outcome::state(Book { total: Some(book.words.values().sum()), ..book }))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node(Split).node(Count).node(Sum)
}

/// A book of so many chapters, each a word longer than the one before.
pub fn book(chapters: usize) -> Book {
    Book { chapters: (1..=chapters).map(|words| "word ".repeat(words)).collect(), ..Book::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let book = run(Options::parse()).await?;
    println!("{} chapters, {} words", book.chapters.len(), book.total.unwrap_or(0));
    Ok(())
}

/// Counts a book of twenty chapters.
pub async fn run(options: Options) -> Result<Book, Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(StartWorkflow::new("book").state(&book(20))?.node(Split::with(()))).await?;
    let book = stage.client.workflow("book").result().await?;
    stage.clear().await?;
    Ok(book)
}

#[cfg(test)]
mod tests {
    use graft_client::Failure;
    use graft_client::testing::{TestEngine, completed, failed, joined};

    use super::*;

    /// Whatever the order, and whatever fails on the way: no count is lost, and the sum is made once.
    #[tokio::test]
    async fn the_sum_is_right_in_any_order() {
        let mut engine = TestEngine::builder().any_seed().build(nodes);
        engine.fail("count", 1, Failure::retryable("no paper left"));
        engine.lose("count", |cx: &NodeContext| cx.attempt() == 2 && cx.task().is_multiple_of(3));
        engine.start(StartWorkflow::new("book").state(&book(50)).unwrap().node(Split::with(()))).unwrap();
        engine.run_until_idle().await;
        let workflow = engine.workflow("book");
        workflow.assert_completed().assert_state_at("/total", &(50 * 51 / 2));
        workflow.assert_seen([completed("split"), failed("count"), completed("count"), joined("sum"), completed("sum")]);
        assert_eq!((workflow.count(completed("count")), workflow.count(joined("sum"))), (50, 1));
    }

    #[tokio::test]
    async fn a_book_without_chapters_has_no_words() {
        let mut engine = TestEngine::new(nodes);
        engine.start(StartWorkflow::new("book").state(&book(0)).unwrap().node(Split::with(()))).unwrap();
        engine.run_until_idle().await;
        engine.workflow("book").assert_completed().assert_state_at("/total", &0);
    }
}
