//! The sides beside each other: child processes in turn, and one table at the end.
//!
//! ```text
//!      cargo bench --bench sides                        everything, five rounds and more
//!      cargo bench --bench sides -- --quick             a first look
//!      cargo bench --bench sides -- --only echo_50      one row (or every row whose name has it)
//!      cargo bench --bench sides -- --help              the rest
//! ```
//!
//! This program is its own child: `--child ROW --side NAME` measures one row on one runtime and prints what it saw,
//! `--echo-server` and `--slow-server` are the other ends of some rows, and without either it is the parent, which starts the others.
//!
//! Not here: the workloads (`work`), how a round is run (`harness`).   Next: `harness`.

mod harness;
mod runtimes;
mod work;

use std::io::Write;
use std::process::ExitCode;

use crate::harness::args::{Mode, Parsed, parse};
use crate::harness::{child, parent};

fn main() -> ExitCode {
    let parsed = parse(std::env::args().skip(1));
    let outcome = match parsed {
        Parsed::Help(text) => {
            let written = writeln!(std::io::stdout(), "{text}");
            written.map_err(|error| format!("writing: {error}"))
        }
        Parsed::Wrong(why) => Err(why),
        Parsed::Run(Mode::EchoServer) => child::echo_server(),
        Parsed::Run(Mode::SlowServer) => child::slow_server(),
        Parsed::Run(Mode::Child(order)) => child::run(&order),
        Parsed::Run(Mode::Parent(plan)) => parent::run(&plan),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("sides: {why}");
            ExitCode::FAILURE
        }
    }
}
