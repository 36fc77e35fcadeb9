//! The queue of a concurrency group, as GitHub has it: one holds, one waits, and a newcomer takes the waiting one's place. Pure.

use crate::id::RunId;
use crate::store::contract::GroupAnswer;

/// What somebody's place in a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has the group.
    Holds,
    /// It is next.
    Waits,
    /// A newcomer took its place; it has not asked since.
    Superseded,
}

/// Somebody's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The run.
    pub run: RunId,
    /// The run, or one of its jobs.
    pub holder: String,
    /// What the place is.
    pub state: State,
}

/// A group's places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue(pub Vec<Place>);

impl Queue {
    /// Takes out whoever is not `alive`. When the group comes free the one that waits gets it, though it has not asked again.
    pub fn sweep(&mut self, alive: impl FnMut(&Place) -> bool) {
        self.0.retain(alive);
        self.promote();
    }

    /// Asks on behalf of `holder`; says besides whether it has just begun to wait.
    pub fn acquire(&mut self, run: &RunId, holder: &str) -> (GroupAnswer, bool) {
        if let Some(at) = self.find(run, holder) {
            return match self.0[at].state {
                State::Holds => (GroupAnswer::Acquired, false),
                State::Waits => (GroupAnswer::Wait, false),
                State::Superseded => {
                    self.0.remove(at);
                    (GroupAnswer::Superseded, false)
                }
            };
        }
        let state = if self.holder().is_some() { State::Waits } else { State::Holds };
        for place in self.0.iter_mut().filter(|place| place.state == State::Waits) {
            place.state = State::Superseded;
        }
        self.0.push(Place { run: run.clone(), holder: holder.to_owned(), state });
        if state == State::Holds { (GroupAnswer::Acquired, false) } else { (GroupAnswer::Wait, true) }
    }

    /// Gives the group back, or leaves the queue.
    pub fn release(&mut self, run: &RunId, holder: &str) {
        if let Some(at) = self.find(run, holder) {
            self.0.remove(at);
            self.promote();
        }
    }

    /// Who has the group.
    pub fn holder(&self) -> Option<&Place> {
        self.0.iter().find(|place| place.state == State::Holds)
    }

    fn find(&self, run: &RunId, holder: &str) -> Option<usize> {
        self.0.iter().position(|place| place.run == *run && place.holder == holder)
    }

    fn promote(&mut self) {
        if self.holder().is_none()
            && let Some(next) = self.0.iter_mut().find(|place| place.state == State::Waits)
        {
            next.state = State::Holds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_holds_one_waits_and_the_newest_wins() {
        let run = |name: &str| RunId::from(name);
        let mut queue = Queue::default();
        assert_eq!(queue.acquire(&run("a"), "a"), (GroupAnswer::Acquired, false));
        assert_eq!(queue.acquire(&run("a"), "a"), (GroupAnswer::Acquired, false));
        assert_eq!(queue.acquire(&run("b"), "b"), (GroupAnswer::Wait, true));
        assert_eq!(queue.acquire(&run("b"), "b"), (GroupAnswer::Wait, false));
        assert_eq!(queue.acquire(&run("c"), "c"), (GroupAnswer::Wait, true));
        assert_eq!(queue.acquire(&run("b"), "b"), (GroupAnswer::Superseded, false));
        queue.release(&run("a"), "a");
        // A newcomer that asks before the one that waited does not get past it.
        assert_eq!(queue.acquire(&run("d"), "d"), (GroupAnswer::Wait, true));
        assert_eq!(queue.acquire(&run("c"), "c"), (GroupAnswer::Acquired, false));
        queue.sweep(|place| place.holder != "c");
        assert_eq!(queue.acquire(&run("d"), "d"), (GroupAnswer::Acquired, false));
        queue.release(&run("d"), "d");
        queue.release(&run("d"), "d");
        assert_eq!(queue, Queue::default());
    }

    proptest! {
        #[test]
        fn never_two_of_a_kind(steps in prop::collection::vec((0..6u8, 0..3u8), 0..60)) {
            let mut queue = Queue::default();
            for (who, what) in steps {
                let (run, holder) = (RunId::from(who.to_string()), who.to_string());
                match what {
                    0 => queue.release(&run, &holder),
                    1 => queue.sweep(|place| place.run != run),
                    _ => {
                        let answer = queue.acquire(&run, &holder).0;
                        let holds = queue.holder().is_some_and(|place| place.run == run);
                        prop_assert_eq!(answer == GroupAnswer::Acquired, holds);
                    }
                }
                let count = |state| queue.0.iter().filter(|place| place.state == state).count();
                prop_assert!(count(State::Holds) <= 1 && count(State::Waits) <= 1, "{:?}", queue);
                prop_assert!(count(State::Waits) == 0 || count(State::Holds) == 1, "{:?}", queue);
            }
        }
    }
}
