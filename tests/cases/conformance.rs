//! The table: what [`goai::comm::Communicator`] promises, on every backend.

use super::{Case, bounded, collectives, messages};

pub const CASES: &[Case] = &[
    ("messages of one sender on one channel keep their order", messages::order),
    ("channels do not overtake or wait for each other", messages::two_channels),
    ("a posted receive is matched before a later one", messages::posted_receives),
    ("any rank's message is received, each with its sender", messages::from_any),
    ("a message waits unread until it is received", messages::probe),
    ("waits for a message end", bounded::bounded_waits),
    ("patience is kept, by the real clock", bounded::patience),
    ("what is given up takes nothing away", bounded::abandoned),
    ("empty and long messages of every kind arrive unchanged", messages::sizes_and_kinds),
    ("an open buffer takes any length", messages::open_buffers),
    ("a note travels with its message", messages::notes),
    ("a message of another length or kind is refused by name and does no harm", messages::mismatches),
    ("the same holds for receives under way", messages::mismatches_under_way),
    ("ranks that do not exist are refused", messages::no_such_rank),
    ("everybody sends before receiving", messages::ring),
    ("every root broadcasts every kind", collectives::broadcasts),
    ("sums and maxima are right and the same bits everywhere", collectives::reductions),
    ("reductions repeat bit for bit", collectives::repeated_reductions),
    ("reductions under way end right in any order", collectives::reductions_under_way),
    ("reductions under way repeat bit for bit", collectives::repeated_reductions_under_way),
    ("vectors in shared memory are summed in rank order", collectives::shared_vectors),
    ("gathered parts stand in rank order", collectives::gathers),
    ("nobody leaves a barrier before the last has come", collectives::barriers),
    ("texts of any length are gathered", collectives::texts),
    ("all ranks learn who failed", collectives::agreement),
    ("all ranks learn who differs", collectives::handshake),
    ("every second rank is a world of its own", collectives::groups),
    ("the meter counts bytes exactly", collectives::metered),
];
