//! What `config show` and `config keys` print.

use super::checked::Config;
use super::keys::KEYS;
use super::origin::Origins;

/// Every key with its value and where the value came from, aligned.
pub fn show(config: &Config, origins: &Origins) -> String {
    let rows: Vec<[String; 3]> = KEYS
        .iter()
        .map(|key| {
            let (value, origin) = match config.value(key.name) {
                Some(serde_json::Value::String(text)) => (text, origins.of(key.name).to_string()),
                Some(value) => (value.to_string(), origins.of(key.name).to_string()),
                None => ("-".to_owned(), unset(key.doc).to_owned()),
            };
            [key.name.to_owned(), value, origin]
        })
        .collect();
    let header = ["key", "value", "from"].map(str::to_owned);
    table(&[vec![header], rows].concat())
}

/// Every key with its flag, variable, values, default and meaning.
pub fn keys() -> String {
    let mut text =
        String::from("Precedence: flag > variable > --set KEY=VALUE > --config FILE.toml > env file > default\n");
    for key in KEYS {
        let flag = if key.flag.is_empty() { "-" } else { key.flag };
        text.push_str(&format!(
            "\n{}  (flag {flag}, variable {})\n    {}\n    values: {}; default: {}\n",
            key.name,
            key.variable(),
            key.doc,
            key.kind.hint(),
            key.defaults(),
        ));
    }
    text
}

/// What happens without a value: the key's line says it behind "unset:".
fn unset(doc: &str) -> &str {
    doc.find("unset:").map_or("unset", |start| doc[start..].split(';').next().unwrap_or("unset"))
}

fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let lines = rows.iter().map(|[key, value, origin]| format!("{key:first$}  {value:second$}  {origin}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn every_key_is_shown_with_value_and_origin_in_columns() {
        let sources = Sources { flags: vec![("learningRate", "0.5".into(), "--lr".into())], ..Sources::default() };
        let (config, origins) = sources.load().unwrap();
        let text = show(&config, &origins);
        assert_eq!(text.lines().count(), KEYS.len() + 1);
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line("learningRate").ends_with("--lr"));
        assert!(line("batchSize").contains(".irisenv:"));
        assert!(line("seed").ends_with("preset"));
        assert!(line("globalBatch").ends_with("unset: batchSize on each rank that trains"));
        let column = |key: &str, word: &str| line(key).find(word).unwrap();
        assert_eq!(column("key", "value"), column("learningRate", "0.5"));
        assert_eq!(column("key", "from"), column("learningRate", "--lr"));
    }

    #[test]
    fn every_key_is_explained() {
        let text = keys();
        for key in KEYS {
            assert!(text.contains(key.name) && text.contains(key.doc));
            assert!(text.contains(&key.variable()));
        }
        assert!(text.contains("default: 0.01 (img: 0.004, "));
    }
}
