//! What this program was built from.

/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit, as the builder has it in the variable `GRAFT_COMMIT`; `unknown`: it has not said one.
pub const COMMIT: &str = env!("GRAFT_BUILT_COMMIT");
/// The version of the compiler.
pub const RUSTC: &str = env!("GRAFT_BUILT_RUSTC");
/// All of it.
pub(crate) const IN_WORDS: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("GRAFT_BUILT_COMMIT"), ", rustc ", env!("GRAFT_BUILT_RUSTC"), ")");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_known_and_everything_is_said() {
        assert!(RUSTC.starts_with("1."), "{RUSTC}");
        assert_eq!(IN_WORDS, format!("{VERSION} (commit {COMMIT}, rustc {RUSTC})"));
    }
}
