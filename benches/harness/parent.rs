//! Who starts whom, and in which order.
//!
//! ```text
//!      row ─┬─ round 1 ─► side A, side B, side C      each a fresh child, pinned to the first core;
//!           ├─ round 2 ─► side C, side B, side A      echo rows with a fresh server on the other core
//!           └─ counts  ─► each side under callgrind or perf, a short and a long run
//! ```
//!
//! A child that fails or hangs is said on standard error and leaves a hole in the table; the others go on.
//!
//! Next: `counts`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::args::{Counting, Length, Plan};
use super::child::Order;
use super::counts::Counters;
use super::rows::{Counts, ROWS, Row, Work};
use super::samples::Measured;
use super::{machine, table};
use crate::runtimes::Side;
use crate::work::crawl;

/// A child that has not ended by now never will. The slowest, under callgrind, takes about a minute.
const HUNG_AFTER: Duration = Duration::from_secs(300);

/// Runs the plan and prints the table.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let rows: Vec<&'static Row> = ROWS.iter().filter(|row| is_wanted(plan, row)).collect();
    if rows.is_empty() {
        // No error: criterion's target, which was given the same words, may well have run something.
        eprintln!("sides: no row has {} in its name; --list names them", plan.only.join(" or "));
        return Ok(());
    }
    if rows.iter().any(|row| matches!(row.work, Work::Crawl(_))) {
        crawl::build()?;
    }
    let load_before = machine::load();
    let counters = Counters::find();
    let mut measured = Vec::new();
    for row in rows {
        let mut figures = Measured::new(row);
        if plan.counting != Counting::Only {
            take_turns(plan, row, &mut figures);
        }
        if is_counted(plan, row) {
            count(plan, row, &counters, &mut figures);
        }
        measured.push(figures);
    }
    let head = [machine::describe(&load_before), counters.describe(plan), vec![rounds_in_words(plan)]].concat();
    if let Some(file) = &plan.json {
        let text = table::json(&head, &measured);
        std::fs::write(file, text).map_err(|error| format!("writing {}: {error}", file.display()))?;
    }
    let text = table::render(&head, &measured);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("writing the table: {error}"))
}

/// Whether a row is asked for: by its whole name, or by a part of it where no row has that name. A quick run has those of
/// programs only if they are named: to build those takes longer than all the rest.
fn is_wanted(plan: &Plan, row: &Row) -> bool {
    let is_name = |text: &str| ROWS.iter().any(|row| row.name == text);
    let asks = |text: &String| row.name == text || (!is_name(text) && row.name.contains(text.as_str()));
    let is_quick_enough = plan.length == Length::Full || !matches!(row.work, Work::Crawl(_));
    plan.only.iter().any(asks) || (plan.only.is_empty() && is_quick_enough)
}

fn is_counted(plan: &Plan, row: &Row) -> bool {
    match row.counts {
        Counts::Nothing => false,
        Counts::Syscalls(_) => plan.counting != Counting::Off,
        Counts::Instructions(_) => match plan.counting {
            Counting::Off => false,
            Counting::Only => true,
            Counting::AsLengthHasIt => plan.length == Length::Full,
        },
    }
}

fn rounds_in_words(plan: &Plan) -> String {
    match (plan.counting, plan.length) {
        (Counting::Only, _) => "rounds    nothing timed, counts only".to_owned(),
        (_, Length::Full) => {
            "rounds    medians of 5 or 7 rounds (system calls: 3, instructions: 1), ± the median distance from the median".to_owned()
        }
        (_, Length::Quick) => {
            "rounds    QUICK: medians of 3 rounds, long rows once; no crawl_* unless named; a first look, not to be quoted".to_owned()
        }
    }
}

fn take_turns(plan: &Plan, row: &Row, figures: &mut Measured) {
    let (operations, rounds) = match plan.length {
        Length::Full => (row.size.full, row.size.rounds),
        Length::Quick => (row.size.quick, row.size.rounds_quick),
    };
    let rounds = plan.rounds.unwrap_or(rounds);
    for round in 0..rounds {
        eprintln!("{}: round {} of {rounds}", row.name, round + 1);
        let mut sides = row.sides().to_vec();
        if round % 2 == 1 {
            sides.reverse();
        }
        for side in sides {
            let outcome = with_partner(row, |server| {
                let order = Order { row: row.name.to_owned(), side, operations, server };
                output_of(child(&[], &order)?)
            });
            match outcome {
                Ok(text) => add_all(&text, side, figures),
                Err(why) => eprintln!("{}: {}: {why}", row.name, side.name()),
            }
        }
    }
}

fn count(plan: &Plan, row: &Row, counters: &Counters, figures: &mut Measured) {
    // Instructions are the same every time, system calls are not quite.
    let rounds = match (plan.length, row.counts) {
        (Length::Full, Counts::Syscalls(_)) => 3,
        _ => 1,
    };
    let turns = (0..rounds).flat_map(|_| row.sides());
    for &side in turns {
        eprintln!("{}: counting {}", row.name, side.name());
        let outcome = with_partner(row, |server| {
            let order = |operations| Order { row: row.name.to_owned(), side, operations, server };
            match row.counts {
                Counts::Nothing => Ok(Vec::new()),
                Counts::Instructions(n) => counters.instructions(n, order),
                Counts::Syscalls(n) if plan.length == Length::Quick => counters.syscalls(n / 5, order),
                Counts::Syscalls(n) => counters.syscalls(n, order),
            }
        });
        match outcome {
            Ok(counts) => counts.into_iter().for_each(|(metric, value)| figures.add(metric, side.name(), value)),
            Err(why) => eprintln!("{}: {}: {why}", row.name, side.name()),
        }
    }
}

/// Takes over what a child printed.
fn add_all(text: &str, side: Side, figures: &mut Measured) {
    for line in text.lines() {
        if let Some((metric, value)) = line.split_once(' ')
            && let Ok(value) = value.parse()
        {
            figures.add(metric, side.name(), value);
        }
    }
}

/// This program again, as a child under `wrapper` (a command and its arguments, or nothing).
pub(crate) fn child(wrapper: &[String], order: &Order) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--child", &order.row, "--side", order.side.name(), "--n", &order.operations.to_string()]);
    if let Some(server) = order.server {
        command.args(["--server", &server.to_string()]);
    }
    Ok(command)
}

/// Runs a command to its end; what it wrote to standard output.
pub(crate) fn output_of(mut command: Command) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("starting {}: {error}", command.get_program().display()))?;
    let since = Instant::now();
    // It writes less than a pipe holds, so it can be read when all is over.
    let status = loop {
        match child.try_wait().map_err(|error| format!("waiting for a child: {error}"))? {
            Some(status) => break status,
            None if since.elapsed() > HUNG_AFTER => {
                stop(&mut child);
                return Err(format!("hung for {} s and was killed", HUNG_AFTER.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("standard output is piped");
    stdout.read_to_string(&mut text).map_err(|error| format!("reading from a child: {error}"))?;
    if status.success() { Ok(text) } else { Err(format!("the child ended with {status}")) }
}

/// Runs `measure` with the address of a fresh echo server, if the row has one.
fn with_partner<T>(row: &Row, measure: impl FnOnce(Option<SocketAddr>) -> Result<T, String>) -> Result<T, String> {
    if !matches!(row.work, Work::Echo { .. } | Work::Rest { .. }) {
        return measure(None);
    }
    let server = EchoServer::start()?;
    measure(Some(server.address))
}

struct EchoServer {
    process: Child,
    address: SocketAddr,
}

impl EchoServer {
    fn start() -> Result<EchoServer, String> {
        let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
        let mut command = Command::new(program);
        command.arg("--echo-server").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("starting the echo server: {error}"))?;
        let mut line = String::new();
        let stdout = process.stdout.take().expect("standard output is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        match read.ok().and_then(|_| line.trim().parse().ok()) {
            Some(address) => Ok(EchoServer { process, address }),
            None => {
                stop(&mut process);
                Err("the echo server did not tell its address".to_owned())
            }
        }
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

fn stop(process: &mut Child) {
    // It may have ended by itself, which is as good.
    let _ = process.kill();
    let _ = process.wait();
}
