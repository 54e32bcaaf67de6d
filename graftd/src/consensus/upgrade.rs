//! Whether a later machine version may be put into force: only when every member says that it can follow. Pure: the shell is in `registrar`.

use graft_machine::command::FIRST_MACHINE_VERSION;
use graft_proto::peer::v1::PeerHello;

/// A member, and what it said when it was asked.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// Its name.
    pub name: String,
    /// The highest machine version that it can follow, or why it has not said so.
    pub follows: Result<u32, String>,
}

/// The highest machine version that a member can follow. Builds that do not say know the first alone.
pub(super) fn told_version(hello: &PeerHello) -> u32 {
    hello.machine_version.max(FIRST_MACHINE_VERSION)
}

/// The version that all of them can follow, as far as they have said.
pub(super) fn followed_by_all(followers: &[Follower]) -> u32 {
    followers.iter().map(|follower| follower.follows.clone().unwrap_or(FIRST_MACHINE_VERSION)).min().unwrap_or(FIRST_MACHINE_VERSION)
}

/// The version that is to be in force: the one that is wanted, or the highest that any member can follow. The error says who stands in the way.
pub(super) fn raised(now: u32, wanted: Option<u32>, followers: &[Follower]) -> Result<u32, String> {
    let highest = followers.iter().filter_map(|follower| follower.follows.clone().ok()).fold(now, u32::max);
    let to = wanted.unwrap_or(highest);
    if to < now {
        return Err(format!("{now} is in force, and there is no way back"));
    }
    if to == now {
        return Ok(now);
    }
    for Follower { name, follows } in followers {
        if let Err(why) = follows {
            return Err(format!(
                "which version `{name}` can follow is not known, since it does not answer ({why}): start it, or take it out of the cluster"
            ));
        }
    }
    let behind: Vec<String> = followers
        .iter()
        .filter_map(|follower| Some((follower, follower.follows.clone().ok().filter(|follows| *follows < to)?)))
        .map(|(follower, follows)| format!("`{}` can follow {follows} at most", follower.name))
        .collect();
    if behind.is_empty() { Ok(to) } else { Err(format!("{}: install a later graftd there first", behind.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members `a`, `b`, .. that can follow these versions; 0: it does not answer.
    fn followers(versions: &[u32]) -> Vec<Follower> {
        let follower = |(at, version): (usize, &u32)| Follower {
            name: char::from(b'a' + at as u8).to_string(),
            follows: if *version == 0 { Err("no route".into()) } else { Ok(*version) },
        };
        versions.iter().enumerate().map(follower).collect()
    }

    #[test]
    fn a_version_is_raised_when_every_member_can_follow() {
        assert_eq!(raised(1, None, &followers(&[2, 2, 2])), Ok(2));
        assert_eq!(raised(1, Some(2), &followers(&[3, 2, 3])), Ok(2), "not further than is wanted");
        assert_eq!(raised(1, None, &followers(&[3])), Ok(3), "several at once");
    }

    #[test]
    fn who_stands_in_the_way_is_named() {
        let behind = raised(1, None, &followers(&[2, 1, 1])).expect_err("two of them cannot");
        assert_eq!(behind, "`b` can follow 1 at most, `c` can follow 1 at most: install a later graftd there first");
        let silent = raised(1, None, &followers(&[2, 0, 2])).expect_err("one does not say");
        assert!(silent.contains("`b` can follow is not known") && silent.contains("no route"), "{silent}");
        let beyond = raised(2, Some(3), &followers(&[2, 2])).expect_err("nobody can");
        assert!(beyond.contains("`a` can follow 2 at most"), "{beyond}");
    }

    #[test]
    fn it_never_goes_down_and_a_repeat_asks_nothing_of_anybody() {
        assert!(raised(2, Some(1), &followers(&[2])).expect_err("down").contains("2 is in force"));
        assert_eq!(raised(2, Some(2), &followers(&[2, 0])), Ok(2));
        assert_eq!(raised(2, None, &followers(&[2, 0])), Ok(2));
    }

    #[test]
    fn a_cluster_begins_with_what_all_its_first_members_can_follow() {
        assert_eq!(followed_by_all(&followers(&[3, 2, 2])), 2);
        assert_eq!(followed_by_all(&followers(&[2, 0])), 1, "who does not say may be an early one");
        assert_eq!(told_version(&PeerHello::default()), 1);
    }
}
