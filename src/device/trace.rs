//! A link's bandwidth over time: piecewise constant, one value being the simplest case.

use super::{DeviceError, Fault};
use crate::units::{Bytes, Seconds};

/// Bandwidths, each from its time on. The first also holds before its time. The last holds for ever; of a trace that
/// repeats, the first follows it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// From when, ascending.
    from: Vec<f64>,
    /// Bytes a second; not negative, and the last (where it repeats, one of them) above 0, so that every message ends.
    rate: Vec<f64>,
    /// After how long it repeats.
    period: Option<f64>,
}

/// A piece of a trace: the line, and how often the trace has repeated until then.
#[derive(Clone, Copy)]
struct Piece {
    line: usize,
    turn: f64,
}

/// The header of a trace file.
const HEADER: [&str; 2] = ["time_s", "mbit_per_s"];

/// Bytes a second in a megabit a second.
pub(super) const BYTES_PER_MBIT: f64 = 1e6 / 8.0;

impl Trace {
    /// The same bandwidth at all times, in bytes a second; may be infinite.
    ///
    /// # Panics
    /// If it is not above 0.
    pub fn constant(bytes_per_s: f64) -> Self {
        assert!(bytes_per_s > 0.0, "a link that carries nothing");
        Self { from: vec![0.0], rate: vec![bytes_per_s], period: None }
    }

    /// Reads a trace file: a line `time_s,mbit_per_s`, then a line for each change. A bandwidth of 0 is an outage.
    ///
    /// # Errors
    /// The first line that is wrong; `path` is where the message says that it is.
    pub fn parse(path: &str, text: &str) -> Result<Self, DeviceError> {
        Self::read(text).map_err(|fault| DeviceError::line(path, fault))
    }

    /// Reads a trace file that repeats: at the time of its last line it begins again with the bandwidth of its first one.
    /// The last line only says when, its own bandwidth is never in force.
    ///
    /// # Errors
    /// As [`Trace::parse`], and when it is too short to repeat, or carries nothing in all its time.
    pub fn parse_repeating(path: &str, text: &str) -> Result<Self, DeviceError> {
        Self::lines(text).and_then(|(trace, line)| trace.repeated(line)).map_err(|fault| DeviceError::line(path, fault))
    }

    fn read(text: &str) -> Result<Self, Fault> {
        let (trace, line) = Self::lines(text)?;
        match trace.rate.last() {
            Some(0.0) => Err(Fault {
                line,
                why: "the link ends with 0 Mbit/s and would never carry again".into(),
                cure: "add a line in which it is back".into(),
            }),
            _ => Ok(trace),
        }
    }

    /// `last` is the line of its last change.
    fn repeated(mut self, last: usize) -> Result<Self, Fault> {
        let fault = |why: &str, cure: &str| Err(Fault { line: last, why: why.into(), cure: cure.into() });
        let end = self.from.pop().unwrap_or_default();
        self.rate.pop();
        if self.from.is_empty() {
            let cure = "add a line: at its time the trace begins again";
            return fault("a trace of one line has no end at which it repeats", cure);
        }
        if self.rate.iter().all(|rate| *rate == 0.0) {
            return fault("the link repeats 0 Mbit/s and would never carry", "add a line with more than 0 Mbit/s");
        }
        self.period = Some(end - self.from[0]);
        Ok(self)
    }

    /// The changes, and the line of the last one.
    fn lines(text: &str) -> Result<(Self, usize), Fault> {
        let fault = |line, why: String, cure: &str| Err(Fault { line, why, cure: cure.to_owned() });
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let header: Vec<&str> = lines.next().unwrap_or((1, "")).1.split(',').map(str::trim).collect();
        if header != HEADER {
            return fault(1, "a trace begins with its header".into(), "write time_s,mbit_per_s in the first line");
        }
        let mut trace = Self { from: Vec::new(), rate: Vec::new(), period: None };
        let mut last_line = 1;
        for (line, row) in lines.filter(|(_, row)| !row.is_empty()) {
            let numbers: Option<Vec<f64>> = row.split(',').map(|field| field.trim().parse().ok()).collect();
            let Some(&[time, mbit]) = numbers.as_deref() else {
                return fault(line, "this is not a time and a bandwidth".into(), "write two numbers, as in 1.5,20");
            };
            if !time.is_finite() || mbit.is_nan() || mbit < 0.0 {
                let cure = "write a time in seconds and a bandwidth of 0 or more Mbit/s";
                return fault(line, format!("{time} s, {mbit} Mbit/s is no bandwidth at a time"), cure);
            }
            if let Some(before) = trace.from.last().filter(|before| time <= **before) {
                return fault(
                    line,
                    format!("{time} s comes after {before} s: the trace runs backwards"),
                    "sort it by time",
                );
            }
            trace.from.push(time);
            trace.rate.push(mbit * BYTES_PER_MBIT);
            last_line = line;
        }
        if trace.rate.is_empty() {
            return fault(1, "the trace is empty".into(), "add at least one line, as in 0,20");
        }
        Ok((trace, last_line))
    }

    /// When its last change comes, after which it stays as it is; none of a bandwidth that never changes or that repeats.
    pub fn ends(&self) -> Option<Seconds> {
        match self.period {
            None if self.from.len() > 1 => self.from.last().copied().map(Seconds),
            _ => None,
        }
    }

    /// Until when it has anything new: its last change, or the end of its first turn; none of a bandwidth that never
    /// changes.
    pub fn news_until(&self) -> Option<Seconds> {
        self.period.map(|period| Seconds(self.from[0] + period)).or_else(|| self.ends())
    }

    /// Bytes a second at some time.
    pub fn rate_at(&self, time: Seconds) -> f64 {
        self.rate[self.piece(time.0, |from| from <= time.0).line]
    }

    /// The time that it takes to transmit so many bytes from `start` on.
    pub fn transmission_from(&self, start: Seconds, bytes: Bytes) -> Seconds {
        let (mut now, mut left, mut taken) = (start.0, bytes.0 as f64, 0.0);
        let mut piece = self.piece(now, |from| from <= now);
        if let Some(turns) = self.whole_turns(left).filter(|_| now >= self.from[0]) {
            let (time, carried) = turns;
            (left, taken) = (left - carried, taken + time);
            (now, piece.turn) = (now + time, piece.turn + (time / self.period.unwrap_or(1.0)).round());
        }
        while let Some(next) = self.next(piece) {
            let (end, rate) = (self.begins(next), self.rate[piece.line]);
            let room = (end - now) * rate;
            if left <= room && rate > 0.0 {
                break;
            }
            (left, taken, now) = (left - room, taken + (end - now), end);
            piece = next;
        }
        Seconds(taken + left / self.rate[piece.line])
    }

    /// The time that it took to transmit so many bytes that were through at `end`: the shortest, without an outage before
    /// the first of them.
    pub fn transmission_until(&self, end: Seconds, bytes: Bytes) -> Seconds {
        let (mut now, mut left, mut taken) = (end.0, bytes.0 as f64, 0.0);
        let mut piece = self.piece(now, |from| from < now);
        while let Some(before) = self.before(piece) {
            let begin = self.begins(piece);
            let room = (now - begin) * self.rate[piece.line];
            if left <= room {
                break;
            }
            (left, taken, now) = (left - room, taken + (now - begin), begin);
            piece = before;
        }
        let rate = self.rate[piece.line];
        // Only rounding, or a time that no transmission ends at, leads into an outage at the beginning.
        Seconds(if rate > 0.0 { taken + left / rate } else { taken })
    }

    /// The last piece that began by some time, or else the first.
    fn piece(&self, time: f64, began: impl Fn(f64) -> bool) -> Piece {
        let turn = self.period.map_or(0.0, |period| ((time - self.from[0]) / period).floor().max(0.0));
        let shift = turn * self.period.unwrap_or(0.0);
        let found = self.from.partition_point(|from| began(from + shift));
        match found.checked_sub(1) {
            Some(line) => Piece { line, turn },
            // A turn's very first moment belongs, for who looks back, to the turn before.
            None if turn > 0.0 => Piece { line: self.from.len() - 1, turn: turn - 1.0 },
            None => Piece { line: 0, turn },
        }
    }

    fn begins(&self, piece: Piece) -> f64 {
        self.from[piece.line] + piece.turn * self.period.unwrap_or(0.0)
    }

    fn next(&self, piece: Piece) -> Option<Piece> {
        match piece.line + 1 < self.from.len() {
            true => Some(Piece { line: piece.line + 1, ..piece }),
            false => self.period.map(|_| Piece { line: 0, turn: piece.turn + 1.0 }),
        }
    }

    fn before(&self, piece: Piece) -> Option<Piece> {
        match piece.line {
            0 if piece.turn > 0.0 => Some(Piece { line: self.from.len() - 1, turn: piece.turn - 1.0 }),
            0 => None,
            line => Some(Piece { line: line - 1, ..piece }),
        }
    }

    /// Of a transmission that lasts several turns, the whole turns but one and what they carry: they need no walk.
    fn whole_turns(&self, bytes: f64) -> Option<(f64, f64)> {
        let period = self.period?;
        let ends = self.from[1..].iter().copied().chain([self.from[0] + period]);
        let carries: f64 =
            self.from.iter().zip(ends).zip(&self.rate).map(|((from, end), rate)| (end - from) * rate).sum();
        let turns = (bytes / carries).floor() - 1.0;
        (turns > 0.0).then_some((turns * period, turns * carries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8 Mbit/s are 1e6 B/s until 2 s, then half of it, an outage from 4 s to 5 s, and 2e6 B/s for ever. From 1 s on, 5e6
    /// bytes take 1 s for the first 1e6, 2 s for the next 1e6, 1 s for nothing, and 1.5 s for the last 3e6: 5.5 s.
    #[test]
    fn transmissions_integrate_over_the_trace() {
        let trace = Trace::read("time_s,mbit_per_s\n0,8\n2,4\n4,0\n\n5,16\n").unwrap();
        for (start, bytes, time) in [
            (1.0, 5_000_000, 5.5),
            (0.0, 2_000_000, 2.0),
            (4.5, 1_000_000, 1.0),
            (9.0, 1_000_000, 0.5),
            (-1.0, 1_000_000, 1.0),
        ] {
            assert_eq!(trace.transmission_from(Seconds(start), Bytes(bytes)), Seconds(time), "{start} {bytes}");
        }
        for (end, bytes, time) in
            [(6.5, 5_000_000, 5.5), (2.0, 2_000_000, 2.0), (5.5, 1_000_000, 0.5), (9.5, 1_000_000, 0.5)]
        {
            assert_eq!(trace.transmission_until(Seconds(end), Bytes(bytes)), Seconds(time), "until {end} {bytes}");
        }
        assert_eq!(trace.transmission_from(Seconds(4.5), Bytes(0)), Seconds(0.5), "in an outage even nothing waits");
    }

    /// 1e6 B/s for 2 s and 2e6 B/s for 1 s, again and again from 1 s on; an outage from 4 s to 5 s of each turn of 5 s.
    #[test]
    fn a_trace_that_repeats_begins_again_at_its_last_line() {
        let text = "time_s,mbit_per_s\n1,8\n3,16\n4,0\n6,0\n";
        let trace = Trace::parse_repeating("toy", text).unwrap();
        for (start, bytes, time) in [
            (1.0, 4_000_000, 3.0),
            (1.0, 5_000_000, 6.0), // the outage until 6 s, then a second of the next turn
            (5.0, 1_000_000, 2.0),
            (6.0, 4_000_000, 3.0),
            (13.0, 1_000_000, 0.5),
            (0.0, 1_000_000, 1.0),
            (1.0, 41_000_000, 51.0), // ten whole turns, and a second
            (501.0, 400_000_000, 498.0),
        ] {
            assert_eq!(trace.transmission_from(Seconds(start), Bytes(bytes)), Seconds(time), "{start} {bytes}");
        }
        for (end, bytes, time) in
            [(4.0, 4_000_000, 3.0), (7.0, 5_000_000, 6.0), (8.5, 500_000, 0.25), (14.0, 2_000_000, 1.0)]
        {
            assert_eq!(trace.transmission_until(Seconds(end), Bytes(bytes)), Seconds(time), "until {end} {bytes}");
        }
        for (time, rate) in [(0.0, 1e6), (3.5, 2e6), (5.9, 0.0), (6.0, 1e6), (5008.0, 2e6)] {
            assert_eq!(trace.rate_at(Seconds(time)), rate, "at {time}");
        }
        assert_eq!(trace.ends(), None);
        assert_eq!(Trace::read("time_s,mbit_per_s\n0,8\n300,4\n").unwrap().ends(), Some(Seconds(300.0)));
        assert_eq!(
            (Trace::read("time_s,mbit_per_s\n7,8\n").unwrap().ends(), Trace::constant(1.0).ends()),
            (None, None)
        );
    }

    #[test]
    fn a_constant_bandwidth_is_one_division() {
        let (start, bytes) = (Seconds(1.0 / 3.0), Bytes(1000));
        for (rate, time) in [(3.0, 1000.0 / 3.0), (f64::INFINITY, 0.0)] {
            let trace = Trace::constant(rate);
            assert_eq!(trace.transmission_from(start, bytes), Seconds(time));
            assert_eq!(trace.transmission_until(start, bytes), Seconds(time));
        }
    }

    #[test]
    fn wrong_traces_are_refused_with_their_line() {
        let header = "time_s,mbit_per_s\n";
        for (rows, line, why) in [
            ("", 1, "empty"),
            ("\n\n", 1, "empty"),
            ("0,1\n2,1\n1,1\n", 4, "1 s comes after 2 s: the trace runs backwards"),
            ("0,1\n0,2\n", 3, "backwards"),
            ("0,1\n1\n", 3, "not a time and a bandwidth"),
            ("0,1,2\n", 2, "not a time and a bandwidth"),
            ("0,fast\n", 2, "not a time and a bandwidth"),
            ("0,-1\n", 2, "no bandwidth"),
            ("0,nan\n", 2, "no bandwidth"),
            ("inf,1\n", 2, "no bandwidth"),
            ("0,1\n3,0\n", 3, "never carry again"),
        ] {
            let fault = Trace::read(&format!("{header}{rows}")).unwrap_err();
            assert!(fault.line == line && fault.why.contains(why), "{rows:?}: {fault:?}");
        }
        for (rows, line, why) in [
            ("0,1\n", 2, "one line has no end at which it repeats"),
            ("0,0\n3,1\n", 3, "repeats 0 Mbit/s and would never carry"),
            ("0,1\n0,1\n", 3, "backwards"),
        ] {
            let error = Trace::parse_repeating("wifi.csv", &format!("{header}{rows}")).unwrap_err().to_string();
            assert!(error.starts_with(&format!("wifi.csv:{line}: ")) && error.contains(why), "{rows:?}: {error}");
        }
        assert_eq!(
            Trace::parse("wifi.csv", "").unwrap_err().to_string(),
            "wifi.csv:1: a trace begins with its header; write time_s,mbit_per_s in the first line"
        );
        assert!(Trace::read("0,1\n").unwrap_err().why.contains("header"));
        assert!(Trace::read(&format!("{header}0,inf\n")).is_ok());
    }
}
