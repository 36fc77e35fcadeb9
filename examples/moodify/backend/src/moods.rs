//! What users see.

use std::thread;
use std::time::Instant;

use crate::http::{Reply, Request};
use crate::settings::Settings;

const MOODS: [&str; 4] = ["calm", "curious", "cheerful", "content"];

/// The back end.
pub fn answer(settings: &Settings, request: &Request) -> Reply {
    if let Some(reply) = of_the_house(settings, request) {
        return reply;
    }
    let began = Instant::now();
    let latency = settings.latency();
    if !latency.is_zero() {
        thread::sleep(latency);
    }
    let reply = if settings.fails() {
        Reply::text(500, "the mood cannot be told\n")
    } else {
        let mood = MOODS[request.path.len() % MOODS.len()];
        Reply::text(200, format!("you are {mood}\n"))
    };
    settings.metrics.note(reply.status, began.elapsed());
    if let Some(id) = &request.id {
        println!("request {id} {}", reply.status);
    }
    reply
}

/// The front end.
pub fn page(settings: &Settings, request: &Request) -> Reply {
    if let Some(reply) = of_the_house(settings, request) {
        return reply;
    }
    let began = Instant::now();
    let reply = match std::fs::read_to_string("/index.html") {
        Ok(body) if request.path == "/" => Reply { status: 200, kind: "text/html; charset=utf-8", body },
        _ => Reply::text(404, "there is one page here, and it is /\n"),
    };
    settings.metrics.note(reply.status, began.elapsed());
    reply
}

fn of_the_house(settings: &Settings, request: &Request) -> Option<Reply> {
    match request.path.as_str() {
        "/health" => Some(Reply::text(200, "ok\n")),
        "/ready" if settings.is_ready() => Some(Reply::text(200, "ready\n")),
        "/ready" => Some(Reply::text(503, "not ready\n")),
        "/metrics" => Some(Reply::text(200, settings.metrics.text(&settings.version))),
        _ => None,
    }
}
