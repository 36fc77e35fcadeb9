//! Moodify: the application of the tour. One small program without dependencies: the back end, the front end and the migration,
//! by its first argument.
//!
//! - `moodify backend`: `/` names a mood; `/health`, `/ready`, `/metrics`. Each answer says its version in `X-Version`, and each
//!   `X-Request-Id` that was answered is printed, so that lost requests can be counted. A second port changes how it behaves.
//! - `moodify frontend`: one page.
//! - `moodify migrate`: brings the database's schema to this version.

mod admin;
mod database;
mod http;
mod metrics;
mod moods;
mod settings;
mod signal;

use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use settings::Settings;

fn main() {
    let settings = Arc::new(Settings::read());
    match env::args().nth(1).as_deref() {
        Some("backend") => serve(settings, moods::answer),
        Some("frontend") => serve(settings, moods::page),
        Some("migrate") => migrate(),
        _ => {
            eprintln!("moodify backend | frontend | migrate");
            process::exit(2);
        }
    }
}

fn serve(settings: Arc<Settings>, answer: http::Answer) {
    signal::watch();
    let server = http::Server::start(settings.port, settings.clone(), answer);
    let admin = http::Server::start(settings.admin, settings.clone(), admin::answer);
    println!("moodify {} answers on port {}", settings.version, settings.port);
    let began = Instant::now();
    while !signal::arrived() {
        if settings.crash_after.is_some_and(|limit| began.elapsed() >= limit) {
            eprintln!("made to crash");
            process::exit(70);
        }
        thread::sleep(Duration::from_millis(20));
    }
    // Whoever routes requests here learns of the end later than this process does: it answers on until they have.
    let drain = settings.drain();
    println!("asked to end: answering for {drain:?} more");
    settings.begin_drain();
    thread::sleep(drain);
    server.close(Duration::from_secs(if drain.is_zero() { 0 } else { 5 }));
    admin.close(Duration::ZERO);
    println!("ended");
}

fn migrate() {
    match database::migrate() {
        Ok(done) => println!("{done}"),
        Err(why) => {
            eprintln!("the migration failed: {why}");
            process::exit(1);
        }
    }
}
