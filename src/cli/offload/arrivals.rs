//! Who asks when: the law of the configuration, or the times in a file.

use crate::cli::failure::{DATA, Failure};
use crate::cli::stages::refuse;
use crate::config::{Arrivals, Config, Origins};
use crate::plan::placement::arrivals::Law;
use crate::plan::placement::simulate::Request;
use crate::run::error::show;
use crate::units::Seconds;
use std::path::Path;

/// The column of a file of arrivals that is read.
const COLUMN: &str = "time_s";

/// All requests of a configuration.
///
/// # Errors
/// A file that is none, exit code 4; or fewer times in it than a source asks.
pub fn requests(config: &Config, origins: &Origins) -> Result<Vec<Request>, Failure> {
    let law = match &config.arrivals {
        Arrivals::AtOnce => Law::AtOnce,
        Arrivals::Poisson(rate) => Law::Poisson(*rate),
        Arrivals::Periodic(gap) => Law::Periodic(Seconds(*gap)),
        Arrivals::Trace(file) => Law::Trace(times(file)?),
    };
    let (sources, count) = (&config.sources.0, config.requests.get());
    let requests = law.requests(sources, count, config.seed).map_err(|times| {
        let each = count.div_ceil(sources.len());
        let what = format!("requests = {count} makes {each} of a source, and {} has {times} times", config.arrivals);
        refuse(origins, "requests", what, format!("write --requests {}, or add lines", times * sources.len()))
    })?;
    match requests.iter().all(|request| request.arrival.0.is_finite()) {
        true => Ok(requests),
        false => {
            let what = format!("arrivals = {} lets requests come up after the end of all time", config.arrivals);
            Err(refuse(origins, "arrivals", what, "give another rate"))
        }
    }
}

/// The times in a file, ascending.
fn times(file: &Path) -> Result<Vec<Seconds>, Failure> {
    let fault = |text: String| Failure::new(DATA, format!("{}{text}", show(file)));
    let text = std::fs::read_to_string(file)
        .map_err(|why| fault(format!(": cannot be read: {why}; give the path of a CSV file with a column {COLUMN}")))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong = |why: csv::Error| fault(format!(": is no CSV: {}; write a line {COLUMN} and a time a line", one(&why)));
    let column = reader.headers().map_err(wrong)?.iter().position(|name| name == COLUMN);
    let Some(column) = column else {
        return Err(fault(format!(":1: has no column {COLUMN}; write its name over the times")));
    };
    let mut times: Vec<Seconds> = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = row.get(column).unwrap_or_default();
        let last = times.last().map_or(0.0, |last| last.0);
        match cell.parse::<f64>() {
            Ok(time) if time.is_finite() && time >= last => times.push(Seconds(time)),
            Ok(time) if time < last => {
                return Err(fault(format!(":{line}: {time} s comes after {last} s; sort the times, from 0 on")));
            }
            _ => {
                let cell = cell.escape_debug();
                return Err(fault(format!(":{line}: {COLUMN} = '{cell}' is no time; write seconds from 0 on")));
            }
        }
    }
    Ok(times)
}

fn one(why: &csv::Error) -> String {
    why.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn asked(flags: &[(&'static str, String)]) -> Result<Vec<(usize, f64)>, String> {
        let flag = |(key, text): &(&'static str, String)| (*key, text.clone(), format!("--{key}"));
        let sources = Sources { flags: flags.iter().map(flag).collect(), ..Sources::default() };
        let (config, origins) = sources.load().unwrap();
        let requests = requests(&config, &origins).map_err(|failure| failure.message)?;
        Ok(requests.iter().map(|request| (request.source, request.arrival.0)).collect())
    }

    #[test]
    fn a_law_or_a_file_says_when() {
        let periodic = [("arrivals", "periodic:0.5".into()), ("requests", "3".into()), ("sources", "2,0".into())];
        assert_eq!(asked(&periodic).unwrap(), [(2, 0.0), (0, 0.0), (2, 0.5)]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.csv");
        let trace = |text: &str, requests: usize| {
            std::fs::write(&file, text).unwrap();
            asked(&[("arrivals", format!("trace:{}", file.display())), ("requests", requests.to_string())])
        };
        assert_eq!(trace("who,time_s\na, 0.25\nb,2\n", 2).unwrap(), [(0, 0.25), (0, 2.0)]);
        for (text, requests, expected) in [
            ("time_s\n0\n1\n", 3, "has 2 times; write --requests 2"),
            ("seconds\n0\n", 1, "t.csv:1: has no column time_s"),
            ("time_s\n0\n-1\n", 2, "t.csv:3: -1 s comes after 0 s"),
            ("time_s\n3\n2\n", 2, "t.csv:3: 2 s comes after 3 s"),
            ("time_s\nsoon\n", 1, "t.csv:2: time_s = 'soon' is no time"),
            ("time_s\ninf\n", 1, "is no time"),
            ("a,time_s\n1\n", 1, "is no CSV"),
            ("", 1, "has no column time_s"),
        ] {
            let message = trace(text, requests).unwrap_err();
            assert!(message.contains(expected) && !message.contains('\n'), "{text:?}: {message}");
        }
        let message = asked(&[("arrivals", "trace:no/such.csv".into())]).unwrap_err();
        assert!(message.starts_with("no/such.csv: cannot be read"), "{message}");
    }
}
