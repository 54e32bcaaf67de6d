//! Structure from bytes: each choice takes the next byte, so that a mutated byte is another choice, and an input that is cut short is a small
//! value. When the bytes are used up, every choice is the first.

use serde_json::{Map, Number, Value};

/// Deepest JSON that is made.
const DEPTH: u32 = 5;
/// Names that are used, so that two documents often name the same.
const NAMES: [&str; 8] = ["a", "b", "c", "count", "", "/", "~", "é"];

/// The choices that are left.
#[derive(Clone, Debug)]
pub struct Choices<'a> {
    left: &'a [u8],
}

impl<'a> Choices<'a> {
    /// All of them.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Whether none is left.
    pub fn used_up(&self) -> bool {
        self.left.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.left.split_first() else { return 0 };
        self.left = rest;
        *first
    }

    /// One of `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count.max(1)
    }

    /// One of these.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A number: small mostly, and now and then at an end of its range.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=199 => u64::from(small % 32),
            200..=219 => u64::from(self.byte()) << (self.byte() % 64),
            220..=229 => u64::MAX - u64::from(self.byte()),
            230..=239 => i64::MAX as u64 - u64::from(self.byte()),
            _ => 1_700_000_000_000 + u64::from(self.byte()) * 1_000,
        }
    }

    /// The next bytes, at most so many.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let count = (usize::from(self.byte()) * most / 255).min(self.left.len());
        let (taken, rest) = self.left.split_at(count);
        self.left = rest;
        taken
    }

    /// A short text, which may hold anything that is UTF-8.
    pub fn text(&mut self) -> String {
        match self.byte() {
            few @ 0..=199 => NAMES[usize::from(few) % NAMES.len()].to_owned(),
            200..=249 => String::from_utf8_lossy(self.bytes(24)).into_owned(),
            many => NAMES[usize::from(many) % NAMES.len()].repeat(usize::from(self.byte()) * 4),
        }
    }

    /// A JSON pointer, more or less.
    pub fn pointer(&mut self) -> String {
        let mut pointer = String::new();
        for _ in 0..self.below(4) {
            pointer.push('/');
            match self.below(4) {
                0 => pointer += &self.below(4).to_string(),
                1 => pointer += self.one(&["-", "~", "~2", "00", "~0", "~1"]),
                _ => pointer += &self.text().replace('~', "~0").replace('/', "~1"),
            }
        }
        pointer
    }

    /// A JSON document.
    pub fn json(&mut self) -> Value {
        self.value(DEPTH)
    }

    /// A JSON object.
    pub fn object(&mut self) -> Value {
        self.members(DEPTH)
    }

    fn members(&mut self, depth: u32) -> Value {
        let mut members = Map::new();
        for _ in 0..self.below(5) {
            members.insert(self.text(), self.value(depth - 1));
        }
        Value::Object(members)
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 8 } else { 13 }) {
            0 => Value::Null,
            1 => Value::Bool(self.byte() % 2 == 1),
            2 => Value::from(self.number()),
            3 => Value::from(-(self.number() as i64 / 2)),
            4 => Number::from_f64(f64::from_bits(u64::from(self.byte()) << 56 | self.number())).map_or(Value::Null, Value::Number),
            5 => Value::from(0),
            6 => Value::from(""),
            7 => Value::String(self.text()),
            8 | 9 => Value::Array((0..self.below(5)).map(|_| self.value(depth - 1)).collect()),
            _ => self.members(depth),
        }
    }
}
