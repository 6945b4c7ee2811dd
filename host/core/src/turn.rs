//! Taking turns: writers that would only conflict with each other wait in the line of their path.
//!
//! For speed and fairness alone: what a call has read is checked at its commit, whoever came first. Without a
//! line, whoever runs again after a conflict would lose to newcomers for ever.
//!
//! Invariants
//! - A line is that of one path of one mount, and is there only while somebody stands in it.
//! - Who waits was authorised for that path, holds no transaction, and waits no longer than
//!   [`limits::TURN_WAIT`].
//! - The host's own mounts have no lines: no engine holds up `sys/`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_barrier::MountId;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::limits;

/// A mount, and a path below it.
pub(crate) type Line = (MountId, String);

/// All lines of a server.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<Line, Standing>>);

struct Standing {
    first: Arc<tokio::sync::Mutex<()>>,
    people: usize,
}

impl Lines {
    /// Whether anybody stands there.
    pub(crate) fn is_formed(&self, line: &Line) -> bool {
        self.lock().contains_key(line)
    }

    /// Stands in `line` until it is the first. None: there is no room for another line, or it took too
    /// long. Then a call goes on without a turn.
    async fn stand(self: &Arc<Self>, line: Line) -> Option<Place> {
        let first = {
            let mut lines = self.lock();
            if !lines.contains_key(&line) && lines.len() >= limits::LINES {
                return None;
            }
            let standing = lines.entry(line.clone()).or_insert_with(|| Standing {
                first: Arc::default(),
                people: 0,
            });
            standing.people += 1;
            standing.first.clone()
        };
        let mut place = Place {
            lines: self.clone(),
            line,
            turn: None,
        };
        let turn = timeout(limits::TURN_WAIT, first.lock_owned()).await;
        place.turn = Some(turn.ok()?);
        Some(place)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Line, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a line. Who leaves lets the next one be first.
pub(crate) struct Place {
    lines: Arc<Lines>,
    line: Line,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turn = None;
        let mut lines = self.lines.lock();
        if let Some(standing) = lines.get_mut(&self.line) {
            standing.people -= 1;
            if standing.people == 0 {
                lines.remove(&self.line);
            }
        }
    }
}

/// What a call has of its line.
#[derive(Default)]
pub(crate) enum Turn {
    /// It has not come to where it may stand, or its path has no line.
    #[default]
    Apart,
    /// It may stand there.
    Allowed(Line),
    /// It has stood there; not any more if that took too long.
    Had { _place: Option<Place> },
}

impl Turn {
    /// The call was authorised for the path of `line`.
    pub(crate) fn allow(&mut self, line: Line) {
        if let Turn::Apart = self {
            *self = Turn::Allowed(line);
        }
    }

    /// How often a call may lose before its client is told to come back.
    pub(crate) fn tries(&self) -> usize {
        match self {
            Turn::Apart => limits::MAX_TRIES_APART,
            Turn::Allowed(_) | Turn::Had { .. } => limits::MAX_TRIES,
        }
    }

    /// Whether others stand where this call may.
    pub(crate) fn others_wait(&self, lines: &Lines) -> bool {
        matches!(self, Turn::Allowed(line) if lines.is_formed(line))
    }

    /// Waits for the call's turn, once.
    pub(crate) async fn take(&mut self, lines: &Arc<Lines>) {
        *self = match std::mem::take(self) {
            Turn::Allowed(line) => Turn::Had {
                _place: lines.stand(line).await,
            },
            turn => turn,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    fn line(path: &str) -> Line {
        (MountId::SYSTEM, path.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_another_on_the_same_path_alone() {
        let lines = Arc::new(Lines::default());
        let first = lines.stand(line("a")).await.expect("nobody is there");
        lines.stand(line("b")).await.expect("another line");
        let waiting = tokio::spawn({
            let lines = lines.clone();
            async move { lines.stand(line("a")).await.is_some() }
        });
        sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.expect("no panic"));
        assert!(lines.lock().is_empty(), "a line ends with its last");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let lines = Arc::new(Lines::default());
        let _first = lines.stand(line("a")).await;
        let began = Instant::now();
        let mut turn = Turn::Allowed(line("a"));
        turn.take(&lines).await;
        assert!(matches!(turn, Turn::Had { _place: None }));
        // And not a second time.
        turn.take(&lines).await;
        assert_eq!(began.elapsed(), limits::TURN_WAIT);
        assert_eq!(lines.lock()[&line("a")].people, 1);
    }

    #[tokio::test]
    async fn there_are_only_so_many_lines() {
        let lines = Arc::new(Lines::default());
        let mut places = Vec::new();
        for n in 0..limits::LINES {
            places.push(lines.stand(line(&n.to_string())).await.expect("room"));
        }
        assert!(lines.stand(line("one more")).await.is_none());
        places.pop();
        assert!(lines.stand(line("one more")).await.is_some());
    }
}
