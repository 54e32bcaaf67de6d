//! Ways in which a follower is cut off from the other members. One that hears nobody wants to be elected; one that nobody hears goes on as if
//! nothing were wrong; and one that is deaf and heard is the worst: without a round of questions before an election (pre-vote) it would bring down
//! one leader after the other.

use crate::cluster::Cluster;
use crate::walls::Wall;

/// Who does not hear whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Neither hears the other.
    BothWays,
    /// The follower hears nobody, and is heard.
    Deaf,
    /// Nobody hears the follower, and it hears all.
    Unheard,
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BothWays, Self::Deaf, Self::Unheard];

    /// Builds the walls.
    pub(super) fn build(self, cluster: &Cluster, follower: usize) -> Result<Vec<Wall>, String> {
        let alone = [cluster.machine(follower)];
        let others: Vec<_> = (0..cluster.members.len()).filter(|other| *other != follower).map(|other| cluster.machine(other)).collect();
        let mut walls = Vec::new();
        for (built, hearers, speakers) in [(self != Self::Unheard, &alone[..], &others[..]), (self != Self::Deaf, &others[..], &alone[..])]
        {
            if !built {
                continue;
            }
            match Wall::between(hearers, speakers) {
                Ok(wall) => walls.push(wall),
                Err(why) => {
                    walls.into_iter().for_each(Wall::take_away);
                    return Err(why);
                }
            }
        }
        Ok(walls)
    }
}
