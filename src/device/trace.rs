//! A link's bandwidth over time: piecewise constant, one value being the simplest case.

use super::{DeviceError, Fault};
use crate::units::{Bytes, Seconds};

/// Bandwidths, each from its time on. The first also holds before its time, the last for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// From when, ascending.
    from: Vec<f64>,
    /// Bytes a second; not negative, and the last above 0, so that every message ends.
    rate: Vec<f64>,
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
        Self { from: vec![0.0], rate: vec![bytes_per_s] }
    }

    /// Reads a trace file: a line `time_s,mbit_per_s`, then a line for each change. A bandwidth of 0 is an outage.
    ///
    /// # Errors
    /// The first line that is wrong; `path` is where the message says that it is.
    pub fn parse(path: &str, text: &str) -> Result<Self, DeviceError> {
        Self::read(text).map_err(|fault| DeviceError::line(path, fault))
    }

    fn read(text: &str) -> Result<Self, Fault> {
        let fault = |line, why: String, cure: &str| Err(Fault { line, why, cure: cure.to_owned() });
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let header: Vec<&str> = lines.next().unwrap_or((1, "")).1.split(',').map(str::trim).collect();
        if header != HEADER {
            return fault(1, "a trace begins with its header".into(), "write time_s,mbit_per_s in the first line");
        }
        let mut trace = Self { from: Vec::new(), rate: Vec::new() };
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
        match trace.rate.last() {
            None => fault(1, "the trace is empty".into(), "add at least one line, as in 0,20"),
            Some(rate) if *rate == 0.0 => fault(
                last_line,
                "the link ends with 0 Mbit/s and would never carry again".into(),
                "add a line in which it is back",
            ),
            Some(_) => Ok(trace),
        }
    }

    /// The time that it takes to transmit so many bytes from `start` on.
    pub fn transmission_from(&self, start: Seconds, bytes: Bytes) -> Seconds {
        let (mut now, mut left, mut taken) = (start.0, bytes.0 as f64, 0.0);
        let mut at = self.from.partition_point(|from| *from <= now).saturating_sub(1);
        while let Some(next) = self.from.get(at + 1) {
            let room = (next - now) * self.rate[at];
            if left <= room && self.rate[at] > 0.0 {
                break;
            }
            (left, taken, now) = (left - room, taken + (next - now), *next);
            at += 1;
        }
        Seconds(taken + left / self.rate[at])
    }

    /// The time that it took to transmit so many bytes that were through at `end`: the shortest, without an outage before
    /// the first of them.
    pub fn transmission_until(&self, end: Seconds, bytes: Bytes) -> Seconds {
        let (mut now, mut left, mut taken) = (end.0, bytes.0 as f64, 0.0);
        let mut at = self.from.partition_point(|from| *from < now).saturating_sub(1);
        while at > 0 {
            let room = (now - self.from[at]) * self.rate[at];
            if left <= room {
                break;
            }
            (left, taken, now) = (left - room, taken + (now - self.from[at]), self.from[at]);
            at -= 1;
        }
        // Only rounding, or a time that no transmission ends at, leads into an outage at the beginning.
        Seconds(if self.rate[at] > 0.0 { taken + left / self.rate[at] } else { taken })
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
        assert_eq!(
            Trace::parse("wifi.csv", "").unwrap_err().to_string(),
            "wifi.csv:1: a trace begins with its header; write time_s,mbit_per_s in the first line"
        );
        assert!(Trace::read("0,1\n").unwrap_err().why.contains("header"));
        assert!(Trace::read(&format!("{header}0,inf\n")).is_ok());
    }
}
