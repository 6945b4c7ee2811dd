//! What may be seen after a crash, given when it came: all that was acknowledged, and of what was under way
//! each part as a whole or not at all.

/// A change that is there as a whole or not at all.
pub(crate) trait Effect {
    type State: Clone + PartialEq;

    fn apply(&self, state: &mut Self::State);
}

/// A run, as its clients know it. Times are counts of the disk's operations.
pub(crate) struct History<E: Effect> {
    /// One of these at the beginning.
    start: Vec<E::State>,
    /// Which one it was, from when on that was known to somebody.
    seen: Option<(usize, E::State)>,
    parts: Vec<Part<E>>,
}

struct Part<E> {
    begun: usize,
    end: End,
    effect: E,
}

/// What was answered.
#[derive(Clone, Copy)]
enum End {
    /// Nothing, or that nobody knows.
    Open,
    /// That it was done, at this time.
    Done(usize),
    /// That nothing of it was done.
    Refused,
}

/// A part that is under way.
#[derive(Clone, Copy)]
pub(crate) struct Begun(usize);

impl<E: Effect> History<E> {
    pub(crate) fn new(start: Vec<E::State>) -> Self {
        let (seen, parts) = (None, Vec::new());
        Self { start, seen, parts }
    }

    /// Somebody has read: it must stay so.
    pub(crate) fn see(&mut self, now: usize, state: E::State) {
        self.seen = Some((now, state));
    }

    pub(crate) fn begin(&mut self, now: usize, effect: E) -> Begun {
        self.parts.push(Part {
            begun: now,
            end: End::Open,
            effect,
        });
        Begun(self.parts.len() - 1)
    }

    /// It was acknowledged.
    pub(crate) fn done(&mut self, begun: Begun, now: usize) {
        self.parts[begun.0].end = End::Done(now);
    }

    /// It was answered that nothing of it was done.
    pub(crate) fn refused(&mut self, begun: Begun) {
        self.parts[begun.0].end = End::Refused;
    }

    /// The states of which one must be there if the disk stops after this many operations.
    ///
    /// What nobody knows of may have come true in its turn, or not yet: then it may after all that was
    /// acknowledged since, also after the deletion of a record that was not there when it was deleted.
    pub(crate) fn permitted(&self, operations: usize) -> Vec<E::State> {
        let is_done = |part: &Part<E>| matches!(part.end, End::Done(when) if when <= operations);
        let last_done = self.parts.iter().rposition(is_done);
        let start = match &self.seen {
            Some((when, state)) if *when <= operations => vec![state.clone()],
            _ => self.start.clone(),
        };
        // Each with what comes true in it at its end.
        let mut states: Vec<(E::State, Vec<&E>)> =
            start.into_iter().map(|state| (state, Vec::new())).collect();
        for (n, part) in self.parts.iter().enumerate() {
            if is_done(part) {
                for (state, _) in &mut states {
                    part.effect.apply(state);
                }
            } else if part.begun < operations && !matches!(part.end, End::Refused) {
                for (mut state, mut late) in states.clone() {
                    if last_done > Some(n) {
                        let mut late = late.clone();
                        late.push(&part.effect);
                        states.push((state.clone(), late));
                    }
                    part.effect.apply(&mut state);
                    states.push((state, std::mem::take(&mut late)));
                }
            }
        }
        let mut permitted = Vec::new();
        for (mut state, late) in states {
            late.iter().for_each(|effect| effect.apply(&mut state));
            if !permitted.contains(&state) {
                permitted.push(state);
            }
        }
        permitted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Adds this number.
    struct Add(u8);

    impl Effect for Add {
        type State = BTreeSet<u8>;

        fn apply(&self, state: &mut BTreeSet<u8>) {
            state.insert(self.0);
        }
    }

    fn sets<const N: usize>(sets: [&[u8]; N]) -> Vec<BTreeSet<u8>> {
        sets.map(|set| set.iter().copied().collect()).into()
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_is_under_way_may_be() {
        let mut history = History::new(sets([&[]]));
        let one = history.begin(0, Add(1));
        let two = history.begin(0, Add(2));
        history.done(two, 5);
        history.done(one, 8);
        history.begin(8, Add(3));
        assert_eq!(history.permitted(0), sets([&[]]));
        assert_eq!(history.permitted(4), sets([&[], &[1], &[2], &[1, 2]]));
        assert_eq!(history.permitted(5), sets([&[2], &[1, 2]]));
        assert_eq!(history.permitted(8), sets([&[1, 2]]));
        assert_eq!(history.permitted(9), sets([&[1, 2], &[1, 2, 3]]));
    }

    #[test]
    fn what_was_refused_is_not_there_and_what_is_unknown_may_come_late() {
        /// The number that it is from then on.
        struct Become(u8);
        impl Effect for Become {
            type State = u8;
            fn apply(&self, state: &mut u8) {
                *state = self.0;
            }
        }
        let mut history = History::new(vec![0]);
        let refused = history.begin(0, Become(1));
        history.refused(refused);
        history.begin(1, Become(2));
        let done = history.begin(2, Become(3));
        history.done(done, 4);
        assert_eq!(history.permitted(1), [0]);
        assert_eq!(history.permitted(2), [0, 2]);
        assert_eq!(history.permitted(4), [3, 2]);
    }

    #[test]
    fn what_somebody_has_seen_stays() {
        let mut history = History::new(sets([&[], &[1]]));
        history.see(3, sets([&[1]]).remove(0));
        history.begin(4, Add(2));
        assert_eq!(history.permitted(2), sets([&[], &[1]]));
        assert_eq!(history.permitted(3), sets([&[1]]));
        assert_eq!(history.permitted(5), sets([&[1], &[1, 2]]));
    }
}
