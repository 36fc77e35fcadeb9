//! The second port: `/set?errors=30&latency=200&ready=false&drain=0` (percent, milliseconds, a word, milliseconds), `/crash`.

use crate::http::{Reply, Request};
use crate::settings::Settings;

pub fn answer(settings: &Settings, request: &Request) -> Reply {
    match request.path.as_str() {
        "/crash" => {
            eprintln!("asked to crash");
            std::process::exit(70);
        }
        "/set" => {}
        _ => return Reply::text(404, "/set?errors=PERCENT&latency=MS&ready=true|false&drain=MS or /crash\n"),
    }
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = match name {
            "errors" => value.parse().map(|percent| settings.set_errors(percent)).is_ok(),
            "latency" => value.parse().map(|millis| settings.set_latency(millis)).is_ok(),
            "ready" => value.parse().map(|ready| settings.set_ready(ready)).is_ok(),
            "drain" => value.parse().map(|millis| settings.set_drain(millis)).is_ok(),
            _ => false,
        };
        if !known {
            return Reply::text(500, format!("\"{pair}\" is not understood\n"));
        }
        println!("asked for {name} {value}");
    }
    Reply::text(200, "done\n")
}
