//! Messages that carry a secret. What is printed of them, for developers and in logs, does not show it.

use std::fmt;

use crate::{peer, v1};

impl fmt::Debug for v1::CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTokenResponse").field("token", &self.token).finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::CreateJoinTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateJoinTokenResponse").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl fmt::Debug for peer::v1::JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("header", &self.header).field("from", &self.from).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_message_with_a_secret_does_not_show_it() {
        let secret = || "graft-api.id.open-sesame".to_owned();
        let told = format!(
            "{:?} {:?} {:?}",
            v1::CreateTokenResponse { secret: secret(), token: Some(v1::ApiToken { name: "ada".into(), ..Default::default() }) },
            v1::CreateJoinTokenResponse { token: secret(), grant: Some(v1::JoinGrant { id: "grant-7".into(), ..Default::default() }) },
            peer::v1::JoinRequest { token: secret(), ..Default::default() },
        );
        assert!(!told.contains("sesame") && told.contains("ada") && told.contains("grant-7"), "{told}");
    }
}
