//! Goes through the cases of Autobahn's fuzzing server as a client that sends back what it gets:
//!
//! ```text
//! echo ws://127.0.0.1:9001 AGENT
//! ```
//!
//! `make conformance` does this.

use std::process::ExitCode;

use realtime_publisher::conformance::converse;
use tungstenite::Message;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, agent] = &arguments[..] else {
        eprintln!("usage: echo ws://HOST:PORT AGENT");
        return ExitCode::from(2);
    };
    match run(base, agent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(base: &str, agent: &str) -> Result<(), String> {
    let mut count = None;
    converse(base, "/getCaseCount", |message| {
        count = count.or_else(|| message.to_text().ok()?.parse::<u32>().ok());
        None
    })?;
    let count = count.ok_or("the server does not say how many cases there are")?;
    for case in 1..=count {
        let echo = |message| Some(message).filter(|message| matches!(message, Message::Text(_) | Message::Binary(_)));
        converse(base, &format!("/runCase?case={case}&agent={agent}"), echo)?;
    }
    converse(base, &format!("/updateReports?agent={agent}"), |_| None)
}
