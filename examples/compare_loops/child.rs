//! A process for each round of each engine.
//!
//! In a process of its own an engine finds the memory, the caches and the counters as every other does.
//!
//! ```text
//!     this process ──(plan, JSON)──► the program again, or python3 ──► pinned ──► the work ──(one line, JSON)──┐
//!           ▲                                                                                                  │
//!           └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Not here: what the work is (`engine`, `compare_loops.py`).   Next: `report`.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
};

use serde::{Deserialize, Serialize};
use windlass_examples::{out, process, python};

use crate::{
    engine::{self, Told},
    flags::EngineName,
};

/// The first argument that makes this program an engine's process; the plan follows as JSON.
pub(crate) const ROLE: &str = "__engine";

/// The same work for asyncio and uvloop.
const SCRIPT: &str = include_str!("compare_loops.py");

/// What a process is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) engine: EngineName,
    pub(crate) tasks: u64,
    /// The core to stay on.
    pub(crate) core: Option<usize>,
    pub(crate) parent: u32,
}

/// Carries out `plan` in a process of its own.
///
/// # Errors
/// It cannot be started, breaks down, or did not do all of the work.
pub(crate) fn run(plan: &Plan) -> io::Result<Told> {
    let engine = plan.engine;
    let mut command = match engine {
        EngineName::Asyncio | EngineName::Uvloop => {
            let core = plan.core.map_or_else(|| "any".to_owned(), |core| core.to_string());
            let mut command = python::command();
            command.args(["-c", SCRIPT, &engine.to_string(), &plan.tasks.to_string(), &core]);
            command
        }
        EngineName::Windlass | EngineName::TokioLocal | EngineName::Tokio => {
            let mut command = Command::new(env::current_exe()?);
            command.args([ROLE, &serde_json::to_string(plan)?]);
            command
        }
    };
    // In a group of its own, so that Ctrl-C in a terminal reaches this process alone.
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).process_group(0).output()?;
    let told = read(&output).map_err(|error| io::Error::other(format!("engine {engine}: {error}")))?;
    let all = (plan.tasks, plan.tasks * (plan.tasks - 1) / 2);
    if (told.tasks, told.sum) != all {
        return Err(io::Error::other(format!("engine {engine} did not do all of the work: {told:?}")));
    }
    Ok(told)
}

fn read(output: &Output) -> io::Result<Told> {
    if !output.status.success() {
        return Err(io::Error::other(format!("it ended without a report: {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Becomes an engine's process.
///
/// # Errors
/// There is no plan, the process cannot be set up, or the engine cannot be built.
pub(crate) fn run_as_child(plan: &str) -> io::Result<()> {
    let plan: Plan = serde_json::from_str(plan)?;
    process::die_with(plan.parent)?;
    if let Some(core) = plan.core {
        process::pin_to(core)?;
    }
    let told = engine::run(plan.engine, plan.tasks)?;
    out::to_stdout(&format!("{}\n", serde_json::to_string(&told)?));
    Ok(())
}

/// Whether `engine` is to be had here.
///
/// # Errors
/// Why it is not.
pub(crate) fn probe(engine: EngineName) -> Result<(), String> {
    let module = match engine {
        EngineName::Asyncio => "asyncio",
        EngineName::Uvloop => "uvloop",
        EngineName::Windlass | EngineName::TokioLocal | EngineName::Tokio => {
            return engine::run(engine, 1).map(drop).map_err(|error| error.to_string());
        }
    };
    python::probe(module)
}
