//! Signals as they are saved: what is kept of them, and who wants them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Kept, MAX_ASKED, ProcessSignals, Signal};
use crate::luau::threads::TaskId;
use crate::save::{Bytes, SavedValues};

/// The signals of one process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedSignals {
    /// Names, and the last connections that were called, of what is kept of names that it has asked for.
    kept: Vec<(Bytes, TaskId)>,
    /// Names of what came early.
    early: Vec<Bytes>,
    /// Of those, and then of these.
    payloads: SavedValues,
    asked: Vec<Bytes>,
    connections: Vec<(Bytes, Vec<TaskId>)>,
    dropped: u64,
}

impl From<&ProcessSignals> for SavedSignals {
    fn from(signals: &ProcessSignals) -> Self {
        let ProcessSignals { kept, early, bytes: _, asked, connections, dropped } = signals;
        let name = |signal: &Signal| (*signal.name).into();
        let payloads = kept.iter().map(|kept| &kept.signal).chain(early).map(|signal| &signal.payload);
        Self {
            kept: kept.iter().map(|kept| (name(&kept.signal), kept.called)).collect(),
            early: early.iter().map(|signal| name(signal)).collect(),
            payloads: payloads.collect(),
            asked: asked.iter().map(|name| (**name).into()).collect(),
            connections: connections.iter().map(|(name, ids)| ((**name).into(), ids.to_vec())).collect(),
            dropped: *dropped,
        }
    }
}

impl SavedSignals {
    pub(crate) fn signals(self) -> Result<ProcessSignals, &'static str> {
        let Self { kept, early, payloads, asked, connections, dropped } = self;
        let mut signals = ProcessSignals { dropped: dropped.min(u64::MAX / 2), ..ProcessSignals::default() };
        let payloads: Vec<_> = payloads.values()?;
        if payloads.len() != kept.len() + early.len() {
            return Err("signals and their payloads are not as many");
        }
        if asked.len() > MAX_ASKED {
            return Err("a process has asked for too many names");
        }
        signals.bytes = payloads.iter().map(|payload| payload.size()).sum();
        let mut payloads = payloads.into_iter();
        let mut signal = |name: Bytes| {
            let payload = payloads.next().ok_or("a signal has no payload")?;
            Ok::<_, &str>(Arc::new(Signal { name: name.0, payload }))
        };
        for (name, called) in kept {
            signals.kept.push_back(Kept { signal: signal(name)?, called });
        }
        for name in early {
            signals.early.push_back(signal(name)?);
        }
        signals.asked = asked.into_iter().map(|name| name.0).collect();
        for (name, ids) in connections {
            if ids.is_empty() {
                return Err("a connection is to nothing");
            }
            signals.connections.insert(name.0, SmallVec::from_vec(ids));
        }
        Ok(signals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::save::{decode, encode};
    use crate::types::Limits;

    #[test]
    fn signals_come_back_with_those_who_want_them() {
        let (mut signals, limits) = (ProcessSignals::default(), Limits::default());
        let signal = |name: &str, payload: f64| {
            Arc::new(Signal { name: name.as_bytes().into(), payload: payload.into() })
        };
        signals.take(b"asked");
        signals.connect(b"connected", 5);
        for name in ["asked", "connected", "early"] {
            signals.keep(&signal(name, 1.0), &limits, true);
        }
        let saved = encode(&SavedSignals::from(&signals));
        let loaded: SavedSignals = decode(&saved, 0).expect("it was saved");
        let mut loaded = loaded.signals().expect("it is right");
        assert_eq!(
            (loaded.len(), loaded.bytes, &loaded.connections),
            (3, signals.bytes, &signals.connections)
        );
        assert_eq!(loaded.next_call(0).map(|call| call.connection), Some(5));
        assert_eq!(loaded.take(b"asked"), Some(signal("asked", 1.0)));
        assert_eq!(loaded.take(b"early"), Some(signal("early", 1.0)));
    }
}
