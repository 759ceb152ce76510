//! Servers that are not ours: processes of the machine's own programs, started and ended by a story.
//!
//! ```text
//!   story ── stdin ──► sh ──┬──► the server, at a port of its own, in a folder of its own
//!     ends, in any way      └──► `cat`, which ends with the story, and then the whole group is killed
//! ```
//!
//! A story that fails, or is killed, closes its end of the shell's stdin like one that ends well; so no server outlives
//! it. What a machine lacks is said on stderr, past the capture of what tests print, and is a failure where
//! `WINDLASS_NO_SKIPS` is set to 1: a story that was never told proves nothing.
//!
//! Not here: what is asked of them (`beside_curl`).   Next: `real_servers`, the stories.

use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Longer than any of them takes to listen, also where the machine has other things to do.
const STARTS: Duration = Duration::from_secs(25);

/// A program that a machine may lack.
#[derive(Debug)]
pub struct Tool {
    /// As people call it.
    pub name: &'static str,
    /// A command that ends well where it is there, and says which version it is.
    pub probe: &'static [&'static str],
    /// How to come by it.
    pub install: &'static str,
}

/// nginx, of any build.
pub const NGINX: Tool = Tool { name: "nginx", probe: &["nginx", "-v"], install: "apt-get install nginx-light" };

/// httpbin, which answers as it is asked to, on gunicorn.
pub const HTTPBIN: Tool = Tool {
    name: "gunicorn with httpbin",
    probe: &[
        "python",
        "-c",
        "import brotlicffi, gunicorn, httpbin; print(f'gunicorn {gunicorn.__version__}, httpbin {httpbin.version}')",
    ],
    install: "tests/install_servers DIR; export WINDLASS_PYTHON=DIR/bin/python",
};

/// One process, in the folder that it is started in.
pub const NGINX_ALONE: &str = "daemon off; master_process off; pid pid; error_log stderr; events { }";
/// No log, and all that it keeps in that folder: for the inside of `http`.
pub const NGINX_FOLDERS: &str =
    "access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;";

impl Tool {
    /// The version that is there, as it says itself.
    pub fn version(&self) -> Option<String> {
        let (program, arguments) = self.probe.split_first().expect("a program");
        let told = Command::new(path_of(program)?).args(arguments).stdin(Stdio::null()).output().ok()?;
        let said = [told.stdout, told.stderr].concat(); // some say it here, some there
        told.status.success().then(|| String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned())
    }
}

/// The first of `tools` that is not there; said aloud.
///
/// # Panics
/// If there is one, and `WINDLASS_NO_SKIPS` is 1.
pub fn lacks(story: &str, tools: &[&Tool]) -> Option<String> {
    let missing = tools.iter().find(|tool| tool.version().is_none())?;
    let words = format!("SKIPPED: {story}: no {} here; {}", missing.name, missing.install);
    say(&words);
    assert!(env::var_os("WINDLASS_NO_SKIPS").is_none_or(|value| value != "1"), "{words}");
    Some(words)
}

/// Says something that is seen of tests that pass, too.
pub fn say(words: &str) {
    let _ = writeln!(stderr(), "{words}"); // nobody may be listening
}

/// Where the program `name` is: along `PATH`, or where Debian puts servers. `python` is the one that `WINDLASS_PYTHON`
/// names, if it is set.
pub fn path_of(name: &str) -> Option<PathBuf> {
    let name = match name {
        "python" => env::var("WINDLASS_PYTHON").unwrap_or_else(|_| "python3".to_owned()),
        name => name.to_owned(),
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(&name)).find(|program| program.is_file()) // one that begins with `/` is itself
}

/// A folder of a story's own, swept away when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub fn new() -> Folder {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("windlass-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).expect("a place for temporary files");
        Folder(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a file there, and the folders that it is in. It is an old file: of one that has just been written a server
    /// may not say for sure that it is the same a moment later.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        let mut file = fs::File::create(path).expect("room for a file");
        file.write_all(content.as_ref()).expect("room for a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)).expect("a file of ours");
    }
}

impl Default for Folder {
    fn default() -> Self {
        Folder::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a server may have made it its own
    }
}

/// Ports of this machine that nobody has.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    held.map(|listener| listener.local_addr().expect("bound").port())
}

/// A server's process, and those that it starts. They end when this is dropped, and when the process that holds it does.
#[derive(Debug)]
pub struct Server {
    shell: Child,
    log: PathBuf,
}

impl Server {
    /// Runs `command` in `folder`, and waits until somebody listens at `port` of this machine.
    ///
    /// # Panics
    /// If nobody does after some time, or the command ends before; with what it wrote.
    pub fn start(folder: &Folder, port: u16, command: &[&str]) -> Server {
        let log = folder.path().join("said");
        let (program, arguments) = command.split_first().expect("a program");
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"{ "$@" </dev/null; echo "it has ended: $?"; } >said 2>&1 & cat; kill -KILL 0"#, "sh"]);
        shell.arg(path_of(program).expect("it was looked for")).args(arguments).current_dir(folder.path());
        let shell = shell.process_group(0).stdin(Stdio::piped()).spawn().expect("a shell");
        let server = Server { shell, log };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let said = fs::read_to_string(&server.log).unwrap_or_default();
            let lives = !said.contains("it has ended") && began.elapsed() < STARTS;
            assert!(lives, "{program} does not listen at {port}: {said}");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the last that the server said:\n{}", &said[said.len().saturating_sub(2_000)..]);
        }
        drop(self.shell.stdin.take());
        let _ = self.shell.wait(); // it was killed, like the rest of its group
    }
}

/// nginx with the configuration that is in the file `conf` of `folder`, listening at `port`.
///
/// # Panics
/// As [`Server::start`].
pub fn start_nginx(folder: &Folder, port: u16) -> Server {
    let prefix = folder.path().to_str().expect("temporary folders have names in UTF-8");
    Server::start(folder, port, &["nginx", "-p", prefix, "-e", "stderr", "-c", "conf"])
}

/// httpbin, listening at `port`.
///
/// # Panics
/// As [`Server::start`].
pub fn start_httpbin(folder: &Folder, port: u16) -> Server {
    let bind = format!("127.0.0.1:{port}");
    let threads = ["-k", "gthread", "--threads", "8", "--control-socket", "ctl"];
    let gunicorn = [&["python", "-m", "gunicorn", "-b", &bind][..], &threads, &["httpbin:app"]].concat();
    Server::start(folder, port, &gunicorn)
}
