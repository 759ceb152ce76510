//! Python, where there is one.
//!
//! Two programs put Python's loops beside those in Rust. Which interpreter that is, and whether it has what it needs, is
//! asked in one place.
//!
//! ```text
//!     WINDLASS_PYTHON, or python3 ──► command      to run a script by
//!                                └──► probe        "import uvloop": there, or why not
//! ```
//!
//! Not here: the scripts, which the programs have.   Next: [`crate::process`].

use std::{
    env,
    process::{Command, Stdio},
};

/// The interpreter, to be given a script: the one that `WINDLASS_PYTHON` names, such as that of a venv, or `python3`.
///
/// ```
/// let mut python = windlass_examples::python::command();
/// python.args(["-c", "print(1)"]);
/// ```
pub fn command() -> Command {
    let named = env::var_os("WINDLASS_PYTHON").filter(|name| !name.is_empty());
    Command::new(named.unwrap_or_else(|| "python3".into()))
}

/// Whether the interpreter is there and has `modules`, names with commas between them.
///
/// # Errors
/// Why not, in words.
///
/// ```
/// assert!(windlass_examples::python::probe("no_such_module").is_err());
/// ```
pub fn probe(modules: &str) -> Result<(), String> {
    let mut command = command();
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.args(["-c", &format!("import {modules}")]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.trim_end().lines().next_back().unwrap_or("it does not say why").to_owned();
            Err(format!("{name} says: {last} (WINDLASS_PYTHON may name another interpreter)"))
        }
        Err(error) => Err(format!("{name} cannot be started: {error}")),
    }
}
