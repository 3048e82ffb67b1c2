//! The manual's tables of the protocol say what the code does.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use realtime_protocol::{CloseCode, ErrorCode};

/// The rows of the first table after this heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let manual = fs::read_to_string(path).unwrap();
    let after = manual.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = after
        .lines()
        .skip_while(|line| !line.starts_with("| ---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(!rows.is_empty(), "no table after {heading}");
    rows
}

#[test]
fn the_table_of_error_codes_is_that_of_the_code() {
    let expected: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| vec![format!("`{}`", code.as_str()), code.http_status().to_string(), code.meaning().to_owned()])
        .collect();
    assert_eq!(table("## Error codes"), expected);
}

#[test]
fn the_table_of_close_codes_is_that_of_the_code() {
    let rows = table("## Close codes");
    let expected: Vec<_> = CloseCode::ALL
        .iter()
        .map(|code| {
            let reason = if code.reason().is_empty() { "(none)" } else { code.reason() };
            // RFC 6455's codes come without a `disconnect` message that could say it.
            let reconnect = match (code.number(), code.reconnect()) {
                (..4000, _) => "–",
                (_, true) => "yes",
                (_, false) => "no",
            };
            [code.number().to_string(), reason.to_owned(), reconnect.to_owned()]
        })
        .collect();
    let found: Vec<_> = rows.iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    assert_eq!(found, expected);
    let documented = docs_of_close_codes();
    for row in &rows {
        assert!(documented.contains(&row[3].replace('`', "")), "the code's own words are not {:?}", row[3]);
    }
}

/// The doc lines of the enum, which the manual repeats.
fn docs_of_close_codes() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/src/code.rs");
    let code = fs::read_to_string(path).unwrap();
    let body = code.split_once("pub enum CloseCode {").unwrap().1.split_once("\n}").unwrap().0;
    body.lines().filter_map(|line| line.trim().strip_prefix("/// ")).collect::<Vec<_>>().join("\n").replace('`', "")
}

/// All Rust files under `directory`.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What tests name in comments of the form `// docs: beginning of a row`.
fn markers() -> BTreeSet<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let texts = sources(&tests).into_iter().map(|path| fs::read_to_string(path).unwrap());
    let marked = |text: String| -> Vec<String> {
        let lines: Vec<_> = text.lines().collect();
        let rows = lines.iter().enumerate().filter_map(|(at, line)| {
            let row = line.strip_prefix("// docs: ")?;
            let next = lines[at + 1..].iter().find(|line| !line.starts_with("//"));
            assert_eq!(next.copied(), Some("#[test]"), "{row:?} is not before a test");
            Some(row.to_owned())
        });
        rows.collect()
    };
    texts.flat_map(marked).collect()
}

#[test]
fn every_row_of_bad_input_has_a_test() {
    let rows: Vec<_> = ["### In a command", "### In a frame", "### In a request"]
        .into_iter()
        .flat_map(table)
        .map(|row| row[0].clone())
        .collect();
    let markers = markers();
    for row in &rows {
        assert!(markers.iter().any(|marker| row.starts_with(marker)), "no test is marked `// docs: {row}`");
    }
    for marker in &markers {
        let matching = rows.iter().filter(|row| row.starts_with(marker)).count();
        assert_eq!(matching, 1, "{marker:?} is the beginning of {matching} rows");
    }
}

/// The threats of `SECURITY.md`, and the tests that it names for each.
fn threats() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows =
        text.lines().skip_while(|line| !line.starts_with("| ---")).skip(1).take_while(|line| line.starts_with('|'));
    let threat = |row: &str| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{row}");
        let names = cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (cells[0].to_owned(), names)
    };
    rows.map(threat).collect()
}

#[test]
fn every_test_that_stands_against_a_threat_exists() {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    let texts: Vec<_> = ["src", "tests"]
        .iter()
        .flat_map(|directory| sources(&server.join(directory)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let is_test = |name: &str| {
        let declared = format!("#[test]\nfn {name}() ");
        texts.iter().any(|text| text.replace("\n    ", "\n").contains(&declared))
    };
    let threats = threats();
    assert!(threats.len() > 20, "{threats:?}");
    for (threat, names) in threats {
        for name in names {
            let exists = if name.contains('/') { server.join("..").join(&name).exists() } else { is_test(&name) };
            assert!(exists, "{threat}: there is no {name}");
        }
    }
}

#[test]
fn every_line_of_the_log_to_watch_for_is_one_that_the_server_writes() {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(server.join("../docs/production.md")).unwrap();
    let rows =
        manual.split_once("| in the log | means |").unwrap().1.lines().skip(2).take_while(|line| !line.is_empty());
    let lines: Vec<_> = rows.flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(lines.len() > 5, "{lines:?}");
    let texts: Vec<_> =
        sources(&server.join("src")).into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for line in lines {
        assert!(texts.iter().any(|text| text.contains(line)), "nothing writes {line:?}");
    }
}
