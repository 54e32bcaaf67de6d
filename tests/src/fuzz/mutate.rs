//! How a case is made from an input: flips, numbers, lengths, cuts, splices, words.

use crate::loop_sim::rng::Rng;

/// Numbers at which code turns.
const EDGES: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3fff,
    0x4000,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
    1 << 40,
];
/// What is put at any place of any text.
const COMMON: [&[u8]; 14] =
    [b"\"", b"{", b"}", b"[", b"]", b"null", b"-1e999", b"\\u0000", b"\\ud800", b"\xff\xfe", b"\n", b"%00", b"/", b"\xf0\x9f\xa6\x80"];

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn splice(into: &mut Vec<u8>, at: usize, removed: usize, put: &[u8]) {
    let end = into.len().min(at + removed);
    into.splice(at..end, put.iter().copied());
}

/// Changes an input in one to some ways; `other` is another input of the same target.
pub fn mutate(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8], words: &[&str], longest: usize) {
    for _ in 0..=rng.below(5) {
        one(rng, input, other, words);
        input.truncate(longest);
    }
}

fn one(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    let length = input.len() as u64;
    let at = rng.below(length + 1) as usize;
    let edge = EDGES[rng.below(EDGES.len() as u64) as usize];
    match rng.below(16) {
        0 | 1 if length > 0 => input[at.min(length as usize - 1)] ^= 1 << rng.below(8),
        2 if length > 0 => input[at.min(length as usize - 1)] = rng.next() as u8,
        3 if length > 0 => {
            let place = &mut input[at.min(length as usize - 1)];
            *place = place.wrapping_add([1, 255, 16, 240][rng.below(4) as usize]);
        }
        4 => input.truncate(at),
        5 => splice(input, at, rng.below(16) as usize, &[]),
        6 => {
            let bytes: Vec<u8> = (0..rng.below(9)).map(|_| rng.next() as u8).collect();
            splice(input, at, 0, &bytes);
        }
        7 => splice(input, at, rng.below(3) as usize, &varint(edge)),
        8 => {
            let width = [1, 2, 4, 8][rng.below(4) as usize];
            let bytes = if rng.chance(500) { edge.to_be_bytes()[8 - width..].to_vec() } else { edge.to_le_bytes()[..width].to_vec() };
            splice(input, at, width, &bytes);
        }
        // A piece once more, here or elsewhere.
        9 => {
            let end = (at + 1 + rng.below(32) as usize).min(input.len());
            let piece = input[at.min(end)..end].to_vec();
            let to = rng.below(length + 1) as usize;
            splice(input, to, 0, &piece);
        }
        10 => {
            let from = rng.below(other.len() as u64 + 1) as usize;
            let end = (from + 1 + rng.below(64) as usize).min(other.len());
            splice(input, at, rng.below(32) as usize, &other[from.min(end)..end]);
        }
        // The beginning of one, and the end of another.
        11 => {
            let from = rng.below(other.len() as u64 + 1) as usize;
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        12 | 13 if !words.is_empty() => {
            let word = words[rng.below(words.len() as u64) as usize];
            splice(input, at, if rng.chance(500) { rng.below(8) as usize } else { 0 }, word.as_bytes());
        }
        14 => {
            let word = COMMON[rng.below(COMMON.len() as u64) as usize];
            splice(input, at, rng.below(2) as usize, word);
        }
        _ => {
            let (byte, count) = (rng.next() as u8, 1 + rng.below(300) as usize);
            splice(input, at, 0, &vec![byte; if rng.chance(100) { count } else { 1 + count % 4 }]);
        }
    }
}
