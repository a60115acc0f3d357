//! Matching a pattern: the algorithm of Luau's lstrlib.cpp, with the same results and the same errors.
//!
//! Luau's own looks at the interrupt when it matches the rest of a pattern, and nowhere else. This one passes safepoints
//! for all that it does, so no subject and no pattern is too long.

use thiserror::Error;

use super::classes::{ESCAPE, is_in_class, is_in_set};

/// `LUA_MAXCAPTURES`.
const MAX_CAPTURES: usize = 32;

/// Matches of the rest of a pattern inside each other: `LUAI_MAXCCALLS`.
const MAX_DEPTH: u32 = 200;

/// Bytes that are compared in the time of a safepoint. Matching the rest of a pattern takes as long.
const BYTES_COMPARED: usize = 8;

/// So many of these are done before safepoints are passed for them.
const BATCH: usize = 8 * BYTES_COMPARED;

/// What is wrong with a pattern, in Luau's words.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(in crate::luau) enum PatternError {
    #[error("malformed pattern (ends with '%')")]
    EndsWithEscape,
    #[error("malformed pattern (missing ']')")]
    OpenSet,
    #[error("malformed pattern (missing arguments to '%b')")]
    BalanceOfNothing,
    #[error("missing '[' after '%f' in pattern")]
    FrontierOfNothing,
    #[error("invalid capture index %{0}")]
    UnknownCapture(i32),
    #[error("invalid pattern capture")]
    NothingToClose,
    #[error("too many captures")]
    TooManyCaptures,
    #[error("unfinished capture")]
    UnfinishedCapture,
    #[error("invalid capture index")]
    NoSuchCapture,
    #[error("pattern too complex")]
    TooComplex,
    #[error("pattern too long (more than 32768 bytes)")]
    TooLong,
}

/// A part of the subject that a pattern names. Bytes are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::luau) enum Capture {
    /// It has begun there and has not ended.
    Unfinished(usize),
    Position(usize),
    Text(usize, usize),
}

/// Where a pattern was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::luau) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    captures: [Capture; MAX_CAPTURES],
    count: usize,
}

impl Found {
    /// How many values it has: its captures, or the whole if there are none.
    pub(super) fn values(&self) -> usize {
        self.count.max(1)
    }

    /// Its captures, without the whole in their place.
    pub(super) fn captures(&self) -> usize {
        self.count
    }

    /// One of them, counted from 0. The first is the whole if there are none.
    pub(super) fn value(&self, index: usize) -> Result<Capture, PatternError> {
        match self.captures[..self.count].get(index) {
            None if index == 0 => Ok(Capture::Text(self.start, self.end)),
            None => Err(PatternError::NoSuchCapture),
            Some(Capture::Unfinished(_)) => Err(PatternError::UnfinishedCapture),
            Some(&capture) => Ok(capture),
        }
    }
}

/// A pattern at work. `pass` passes so many safepoints.
pub(super) struct Matcher<'t, P> {
    subject: &'t [u8],
    pattern: &'t [u8],
    captures: [Capture; MAX_CAPTURES],
    count: usize,
    depth: u32,
    /// What has been done since safepoints were passed.
    work: usize,
    pass: P,
}

/// Where a match ends, if there is one.
type Match = Result<Option<usize>, PatternError>;

impl<'t, P: Fn(u64)> Matcher<'t, P> {
    pub(super) fn new(subject: &'t [u8], pattern: &'t [u8], pass: P) -> Self {
        let captures = [Capture::Unfinished(0); MAX_CAPTURES];
        Self { subject, pattern, captures, count: 0, depth: 0, work: 0, pass }
    }

    /// The first match that begins at one of these places.
    pub(super) fn find(
        &mut self,
        places: impl IntoIterator<Item = usize>,
    ) -> Result<Option<Found>, PatternError> {
        for start in places {
            (self.count, self.depth) = (0, 0);
            if let Some(end) = self.rest(start, 0)? {
                self.pass_all();
                return Ok(Some(Found { start, end, captures: self.captures, count: self.count }));
            }
        }
        self.pass_all();
        Ok(None)
    }

    /// So many bytes were compared.
    #[inline]
    fn work(&mut self, bytes: usize) {
        self.work += bytes;
        if self.work >= BATCH {
            self.pass_all();
        }
    }

    fn pass_all(&mut self) {
        let safepoints = self.work / BYTES_COMPARED;
        self.work %= BYTES_COMPARED;
        (self.pass)(safepoints as u64);
    }

    /// A byte of the pattern, 0 behind its end.
    #[inline]
    fn at(&self, p: usize) -> u8 {
        self.pattern.get(p).copied().unwrap_or_default()
    }

    /// Matches the rest of the pattern, from `p` on.
    fn rest(&mut self, s: usize, p: usize) -> Match {
        if self.depth == MAX_DEPTH {
            return Err(PatternError::TooComplex);
        }
        self.depth += 1;
        self.work(BYTES_COMPARED);
        let end = self.rest_in_place(s, p)?;
        self.depth -= 1;
        Ok(end)
    }

    fn rest_in_place(&mut self, mut s: usize, mut p: usize) -> Match {
        while let Some(&first) = self.pattern.get(p) {
            let goes_on = match (first, self.at(p + 1)) {
                (b'(', b')') => return self.start_capture(Capture::Position(s), s, p + 2),
                (b'(', _) => return self.start_capture(Capture::Unfinished(s), s, p + 1),
                (b')', _) => return self.end_capture(s, p + 1),
                (b'$', _) if p + 1 == self.pattern.len() => {
                    return Ok((s == self.subject.len()).then_some(s));
                }
                (ESCAPE, b'b') => self.balance(s, p + 2)?.map(|end| (end, p + 4)),
                (ESCAPE, b'f') => self.frontier(s, p + 2)?.map(|rest| (s, rest)),
                (ESCAPE, digit @ b'0'..=b'9') => self.same_as(s, digit)?.map(|end| (end, p + 2)),
                _ => {
                    let end = self.item_end(p)?;
                    match (self.is_single(s, p, end), self.at(end)) {
                        (false, b'*' | b'?' | b'-') => Some((s, end + 1)),
                        (false, _) => None,
                        (true, b'?') => match self.rest(s + 1, end + 1)? {
                            None => Some((s, end + 1)),
                            found => return Ok(found),
                        },
                        (true, b'+') => return self.expand(s, 1, p, end),
                        (true, b'*') => return self.expand(s, 0, p, end),
                        (true, b'-') => return self.expand_least(s, p, end),
                        (true, _) => Some((s + 1, end)),
                    }
                }
            };
            match goes_on {
                Some(next) => (s, p) = next,
                None => return Ok(None),
            }
        }
        Ok(Some(s))
    }

    /// Where what a suffix would follow ends.
    fn item_end(&mut self, mut p: usize) -> Result<usize, PatternError> {
        let length = self.pattern.len();
        p += 1;
        match self.pattern[p - 1] {
            ESCAPE if p == length => return Err(PatternError::EndsWithEscape),
            ESCAPE => return Ok(p + 1),
            b'[' => {}
            _ => return Ok(p),
        }
        let opened = p;
        p += usize::from(self.at(p) == b'^');
        loop {
            if p >= length {
                return Err(PatternError::OpenSet);
            }
            p += 1;
            // An escaped `]` does not close it, and neither does one that comes first.
            p += usize::from(self.pattern[p - 1] == ESCAPE && p < length);
            if self.at(p) == b']' {
                self.work(p - opened);
                return Ok(p + 1);
            }
        }
    }

    /// Whether the byte at `s` is one of what stands from `p` to `end`.
    #[inline]
    fn is_single(&mut self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else { return false };
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => is_in_class(byte, self.at(p + 1)),
            b'[' => {
                self.work((end - p) / 4);
                is_in_set(byte, &self.pattern[p + 1..end - 1])
            }
            literal => literal == byte,
        }
    }

    /// As often as possible, of which so many times are sure.
    fn expand(&mut self, s: usize, sure: usize, p: usize, end: usize) -> Match {
        let mut times = sure;
        while self.is_single(s + times, p, end) {
            times += 1;
            self.work(1);
        }
        loop {
            let found = self.rest(s + times, end + 1)?;
            if found.is_some() || times == sure {
                return Ok(found);
            }
            times -= 1;
        }
    }

    /// As rarely as possible.
    fn expand_least(&mut self, mut s: usize, p: usize, end: usize) -> Match {
        loop {
            let found = self.rest(s, end + 1)?;
            if found.is_some() || !self.is_single(s, p, end) {
                return Ok(found);
            }
            s += 1;
        }
    }

    fn start_capture(&mut self, capture: Capture, s: usize, p: usize) -> Match {
        let index = self.count;
        *self.captures.get_mut(index).ok_or(PatternError::TooManyCaptures)? = capture;
        self.count += 1;
        let found = self.rest(s, p)?;
        if found.is_none() {
            self.count -= 1;
        }
        Ok(found)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Match {
        let open = self.captures[..self.count].iter().rposition(|it| matches!(it, Capture::Unfinished(_)));
        let index = open.ok_or(PatternError::NothingToClose)?;
        let before = self.captures[index];
        if let Capture::Unfinished(start) = before {
            self.captures[index] = Capture::Text(start, s);
        }
        let found = self.rest(s, p)?;
        if found.is_none() {
            self.captures[index] = before;
        }
        Ok(found)
    }

    /// `%1`: the same text as that of a capture.
    fn same_as(&mut self, s: usize, digit: u8) -> Match {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let capture = index.and_then(|index| self.captures[..self.count].get(index));
        match capture {
            None | Some(Capture::Unfinished(_)) => {
                Err(PatternError::UnknownCapture(i32::from(digit) - i32::from(b'0')))
            }
            Some(Capture::Position(_)) => Ok(None),
            Some(&Capture::Text(start, end)) => {
                let (length, text) = (end - start, &self.subject[start..end]);
                let is_same = self.subject[s..].starts_with(text);
                self.work(length / 8);
                Ok(is_same.then_some(s + length))
            }
        }
    }

    /// `%bxy`: from an `x` to the `y` that closes it.
    fn balance(&mut self, s: usize, p: usize) -> Match {
        if p + 1 >= self.pattern.len() {
            return Err(PatternError::BalanceOfNothing);
        }
        let (opens, closes) = (self.pattern[p], self.pattern[p + 1]);
        // Behind its end stands a 0, in Luau's eyes.
        if self.subject.get(s).copied().unwrap_or_default() != opens {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.subject.len() {
            self.work(1);
            let byte = self.subject[at];
            if byte == closes {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == opens {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between what is not in the set and what is. Where the pattern goes on then.
    fn frontier(&mut self, s: usize, p: usize) -> Match {
        if self.at(p) != b'[' {
            return Err(PatternError::FrontierOfNothing);
        }
        let end = self.item_end(p)?;
        let previous = s.checked_sub(1).map_or(0, |previous| self.subject[previous]);
        let next = self.subject.get(s).copied().unwrap_or_default();
        let set = &self.pattern[p + 1..end - 1];
        Ok((!is_in_set(previous, set) && is_in_set(next, set)).then_some(end))
    }
}
