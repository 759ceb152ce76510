//! Where the programs are, and what they say.
//!
//! A story about a program runs the program: the same file that `cargo run --example NAME` starts. Cargo tells a test
//! where its package's binaries are, but not where another package's examples are, so this works it out.
//!
//! ```text
//!     target/<profile>/deps/this-test ──► target/<profile>/examples/NAME
//! ```
//!
//! Not here: what the programs do.   Next: the stories that run them, `hundred_thousand` and `small_programs`.

use std::{
    env,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use nix::pty::{Winsize, openpty};
use serde_json::Value;

/// The file of the example `name`, up to date.
///
/// A bare `cargo test` in the workspace has built all examples before it runs anything, and then this takes no time; after
/// `cargo test -p windlass-tests` they are built here, once for each test process.
///
/// # Panics
/// If the examples do not build, or there is none of that name.
pub fn program(name: &str) -> PathBuf {
    static EXAMPLES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = EXAMPLES.get_or_init(build_examples).as_ref().expect("the examples build").join(name);
    assert!(program.is_file(), "{} is built by `cargo test` in the workspace", program.display());
    program
}

/// The folder of the examples; `None` if they do not build.
fn build_examples() -> Option<PathBuf> {
    let this = env::current_exe().expect("a running test has a file");
    let profile = this.parent().and_then(Path::parent).expect("tests are in target/<profile>/deps");
    // Without cargo around, whoever started the test by hand has built the examples too.
    if let Some(cargo) = env::var_os("CARGO") {
        let name = match profile.file_name().and_then(|name| name.to_str()) {
            None | Some("debug") => "dev",
            Some(name) => name,
        };
        let workspace =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--profile", name, "--examples"]).current_dir(workspace);
        // What cargo has told this test of its package would make other packages' build scripts run again, and with them
        // half of the workspace be compiled again.
        for (variable, _) in env::vars_os() {
            let is_of_the_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if is_of_the_package.iter().any(|begin| variable.to_string_lossy().starts_with(begin)) {
                build.env_remove(variable);
            }
        }
        let built = build.status();
        if !built.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    Some(profile.join("examples"))
}

/// What a run of a program left.
#[derive(Debug)]
pub struct Done {
    /// The exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Done {
    /// What it wrote to stdout, which is one JSON value and nothing else.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON value: {error}\n{self:?}"))
    }
}

/// The number that `value` is.
///
/// # Panics
/// If it is none.
#[track_caller]
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Two numbers are the same but for how floating point got there.
///
/// # Panics
/// If they are not.
#[track_caller]
pub fn assert_same(one: f64, other: f64) {
    assert!((one - other).abs() <= 1e-9 * one.abs().max(1.0), "{one}, not {other}");
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the programs write UTF-8");
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs `command` to its end, with nothing on its stdin.
///
/// # Panics
/// If it cannot be started.
pub fn run(command: &mut Command) -> Done {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.output().expect("the program can be started").into()
}

/// What a terminal shows while `command` runs to its end, and its exit status; stdout is the terminal, too, or what is given.
///
/// # Panics
/// If there are no terminals here, or it cannot be started.
pub fn on_a_terminal(command: &mut Command, stdout: Option<Stdio>) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 25, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).expect("there are terminals here");
    let mut side = || Stdio::from(pty.slave.try_clone().expect("a descriptor can be had"));
    command.stdin(Stdio::null()).stdout(stdout.unwrap_or_else(&mut side)).stderr(side());
    let mut child = command.spawn().expect("the program can be started");
    command.stdout(Stdio::null()).stderr(Stdio::null()); // else its end of the terminal stays open
    drop(pty.slave);
    let mut shown = Vec::new();
    let end = File::from(pty.master).read_to_end(&mut shown).expect_err("a terminal does not end as a file does");
    assert_eq!(end.raw_os_error(), Some(5), "a terminal whose other end is closed says so with EIO");
    let status = child.wait().expect("what was started ends");
    (status.code(), String::from_utf8_lossy(&shown).into_owned())
}
