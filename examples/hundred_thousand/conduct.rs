//! One process for each side.
//!
//! Memory and CPU time belong to a process. So each engine's round has one, and the server another, and this one only
//! starts them, listens to them, tells them when to stop, and leaves none behind.
//!
//! ```text
//!                      ┌─► server          core 1   "listening at ..."
//!     this process ────┤
//!        ▲  Ctrl-C     └─► engine, round   core 0   "so many done" ... "report"
//!        └── told: the engine ends its run and reports, the server is ended when all are done
//! ```
//!
//! The children have process groups of their own, so that Ctrl-C in a terminal reaches this process alone; should it be
//! killed, the kernel kills them (`die_with`).
//! Two engines are a script that Python runs; all the same they are told by the same plan and answer by the same words.
//! Not here: what a child does (`engine`, `server`).   Next: `window`.

use std::{
    env,
    io::{self, BufRead, BufReader, Lines},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread,
};

use nix::sys::signal::Signal;
use serde::Serialize;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use windlass_examples::{process, python};

use crate::contract::{Plan, ServerPlan, Told, Word};

/// The first argument that makes this program an engine's process; the plan follows as JSON.
pub(crate) const ENGINE_ROLE: &str = "__engine";

/// The first argument that makes this program the server's process; its plan follows as JSON.
pub(crate) const SERVER_ROLE: &str = "__server";

/// The engines in Python; the plan follows as JSON, too.
const SCRIPT: &str = include_str!("engine/on_aiohttp.py");

/// Hears of Ctrl-C and passes it on to the engine that runs.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The signal that came first; zero while none has.
    signal: AtomicI32,
    /// The child that is told. Its number is taken out before it is reaped, since numbers are used again.
    running: Mutex<Option<u32>>,
}

impl Interrupt {
    /// Listens for Ctrl-C and for a request to end (SIGTERM), on a thread of its own.
    ///
    /// The first makes the running engine end its run and report; the second kills it, if it comes half a second later.
    /// Where no engine runs any more, the second ends the process: what it waits for then may never come.
    ///
    /// # Errors
    /// The signals cannot be had.
    pub(crate) fn listen() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let heard = Arc::clone(&shared);
        thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
            for signal in process::meant(&mut signals) {
                heard.interrupt(signal);
            }
        })?;
        Ok(Self { shared })
    }

    /// The signal that came, if any did.
    pub(crate) fn signal(&self) -> Option<i32> {
        Some(self.shared.signal.load(Ordering::Acquire)).filter(|&signal| signal != 0)
    }
}

impl Shared {
    fn interrupt(&self, signal: i32) {
        let running = self.running();
        let first = self.signal.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire).is_ok();
        match *running {
            // It may have ended this moment and not been reaped yet: then there is nobody to tell.
            Some(pid) => _ = process::send_signal(pid, if first { Signal::SIGINT } else { Signal::SIGKILL }),
            // The report waits for whoever reads it. The kernel ends the server.
            None if !first => std::process::exit(128 + signal),
            None => {}
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out one engine's round in a process of its own; `hear` is called with each word it says on the way. `tool` is
/// the command that the process is started by; it is empty for the process itself.
///
/// `None` if the run was interrupted before it could report anything.
///
/// # Errors
/// The process cannot be started, or ends without a report.
pub(crate) fn run_engine(
    tool: &[String],
    plan: &Plan,
    interrupt: &Interrupt,
    mut hear: impl FnMut(&Word),
) -> io::Result<Option<Told>> {
    let mut child = {
        let mut running = interrupt.shared.running();
        if interrupt.signal().is_some() {
            return Ok(None);
        }
        let child = start(engine_command(tool, plan)?, plan)?;
        *running = Some(child.process.id());
        child
    };
    let mut told = None;
    let heard = child.listen(|word| match word {
        Word::Report(report) => told = Some(*report),
        word => hear(&word),
    });
    interrupt.shared.running().take();
    let status = child.process.wait()?;
    heard?;
    if told.is_some() && status.success() {
        return Ok(told);
    }
    if interrupt.signal().is_some() {
        return Ok(None);
    }
    let how = status.signal().map_or_else(|| status.to_string(), |signal| format!("killed by signal {signal}"));
    Err(io::Error::other(format!("engine {} ended without a report: {how}", plan.engine)))
}

/// The embedded server in its process; dropping it ends the process and reaps it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Running,
    pub(crate) url: String,
}

impl Server {
    /// Starts the server and waits until it accepts connections.
    ///
    /// # Errors
    /// The process cannot be started, or ends before it listens.
    pub(crate) fn start(plan: &ServerPlan) -> io::Result<Self> {
        let mut child = start(itself(SERVER_ROLE)?, plan)?;
        match child.next_word()? {
            Some(Word::Listening(address)) => Ok(Self { child, url: format!("http://{address}/") }),
            _ => Err(io::Error::other("the embedded server ended before it listened")),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process.id()
    }
}

/// A child process and what it says.
#[derive(Debug)]
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn next_word(&mut self) -> io::Result<Option<Word>> {
        let Some(line) = self.lines.next().transpose()? else {
            return Ok(None);
        };
        let word = serde_json::from_str(&line).map_err(|error| io::Error::other(format!("{line:?}: {error}")))?;
        Ok(Some(word))
    }

    fn listen(&mut self, mut hear: impl FnMut(Word)) -> io::Result<()> {
        while let Some(word) = self.next_word()? {
            hear(word);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended and been reaped already, which is what they are for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn engine_command(tool: &[String], plan: &Plan) -> io::Result<Command> {
    if plan.engine.is_python() {
        let mut command = python::command();
        command.args(["-c", SCRIPT]);
        return Ok(command);
    }
    let mut command = match tool {
        [] => return itself(ENGINE_ROLE),
        [tool, arguments @ ..] => {
            let mut command = Command::new(tool);
            command.args(arguments);
            command
        }
    };
    command.arg(env::current_exe()?).arg(ENGINE_ROLE);
    Ok(command)
}

/// This program, in a role of a child's.
fn itself(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(role);
    Ok(command)
}

fn start(mut command: Command, plan: &impl Serialize) -> io::Result<Running> {
    let mut process = command
        .arg(serde_json::to_string(plan)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let stdout = process.stdout.take().expect("stdout is piped");
    Ok(Running { process, lines: BufReader::new(stdout).lines() })
}
