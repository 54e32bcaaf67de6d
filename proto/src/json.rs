//! JSON that is passed on without being read.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::{Encoding, Payload};

/// A JSON document as bytes. As the `State` or `Config` of a node it costs no parsing: the bytes are the ones that came over the wire.
///
/// Equality is equality of bytes. The empty document stands for "absent".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Takes bytes that are JSON; the server checks them.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Writes a value.
    ///
    /// # Errors
    /// If the value has no JSON form, for instance a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|bytes| Self(bytes.into()))
    }

    /// Reads it as a type. The empty document reads as `null`.
    ///
    /// # Errors
    /// If it does not fit; the error names the place.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(if self.0.is_empty() { b"null" } else { &self.0 })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a message holds; the empty document if it holds none.
    pub fn from_payload(payload: Option<Payload>) -> Self {
        Self(payload.map(|payload| payload.data).unwrap_or_default())
    }

    /// For a message; `None` for the empty document.
    pub fn into_payload(self) -> Option<Payload> {
        (!self.0.is_empty()).then_some(Payload { encoding: Encoding::Json.into(), data: self.0 })
    }
}

impl std::fmt::Display for RawJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(if self.0.is_empty() { b"null" } else { &self.0 }))
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(if self.0.is_empty() { b"null" } else { &self.0 }).map_err(serde::ser::Error::custom)?;
        serde_json::from_str::<&serde_json::value::RawValue>(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::from(String::from(Box::<str>::from(raw)))))
    }
}
