//! Where a value was said.

use std::fmt;

/// Where a value was said: the layer, and the place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default stands.
    Default,
    /// In the configuration file.
    File {
        /// Its path.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// In a file of `conf.d`.
    ConfD {
        /// Its path.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// By a variable of the environment.
    Variable(String),
    /// By a flag.
    Flag(&'static str),
}

impl Origin {
    /// The layer, for programs.
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::ConfD { .. } => "conf.d",
            Self::Variable(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }

    /// Whether everything that is said there is text, whatever it stands for.
    pub(super) fn is_text_only(&self) -> bool {
        matches!(self, Self::Variable(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } | Self::ConfD { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
