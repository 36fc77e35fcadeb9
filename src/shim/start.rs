//! Starts of steps, and who is told of them.

use std::path::PathBuf;
use std::time::Duration;

use super::pool::{Launch, Launched};
use super::protocol::{Answer, Refusal, Start, StepSignal, folder_of, job_of};
use super::serve::Server;
use super::spool::Spool;
use super::step::{Phase, Reader, Step};

/// Unacknowledged output that is kept before a step has to wait.
const SPOOL_BYTES: u64 = 64 << 20;

impl Server {
    /// Takes a start in hand. A known key starts nothing.
    pub(super) fn start(&mut self, peer: u64, start: Start) {
        let contents = self.peers.get_mut(&peer).map(|p| p.take_puts(&start.key)).unwrap_or_default();
        if let Some(number) = self.keys.get(&start.key).copied() {
            return self.open_stream(peer, number, 0);
        }
        let key = start.key.clone();
        let (Some(name), Some(job)) = (folder_of(&key), job_of(&key)) else {
            let detail = format!("\"{key}\" is no key of a step");
            return self.say(peer, &Answer::Refused { key, reason: Refusal::Invalid, detail });
        };
        let folder: PathBuf = self.options.folder.join(name);
        let step = Step {
            job: job.to_owned(),
            spool: Spool::new(folder.join(".output")),
            spool_bytes: if start.spool_bytes == 0 { SPOOL_BYTES } else { start.spool_bytes },
            collect: start.collect.clone(),
            reader: Some(Reader::new(peer, 0)),
            watched: false,
            folder: folder.clone(),
            pid: 0,
            phase: Phase::Launching { askers: vec![peer], signals: Vec::new() },
            pipe: None,
            key: key.clone(),
        };
        let number = self.number(true);
        self.steps.insert(number, step);
        self.keys.insert(key, number);
        self.launches.push(Launch { number, start, folder, contents });
    }

    /// Starts what was asked for in this round: a lone step here, which is the shortest way, and steps beside others in
    /// threads of their own, so that the others' output and exits do not wait.
    pub(super) fn launch_all(&mut self) {
        let mut launches = std::mem::take(&mut self.launches);
        let alone = launches.len() == 1 && self.running.is_empty() && self.pool.is_idle();
        if let Some(launch) = launches.pop_if(|_| alone) {
            let number = launch.number;
            let launched = self.pool.launch_here(launch);
            self.launched(number, launched);
        }
        launches.into_iter().for_each(|launch| self.pool.launch(launch));
    }

    /// Learns what came of starts in other threads; waits for the first no longer than `patience`.
    pub(super) fn take_launched(&mut self, patience: Duration) {
        self.pool.hush();
        let mut wait = patience;
        while let Some((number, launched)) = self.pool.result(wait) {
            self.launched(number, launched);
            wait = Duration::ZERO;
        }
    }

    fn launched(&mut self, number: u64, launched: Launched) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        let phase = match launched {
            Launched::Running(pid, pipe) => {
                (step.pid, step.pipe) = (pid, Some(pipe));
                self.running.insert(pid, number);
                Phase::Running
            }
            Launched::Refused((reason, detail)) => Phase::Refused(reason, detail),
            Launched::Claimed => Phase::Claimed,
        };
        let Phase::Launching { askers, signals } = std::mem::replace(&mut step.phase, phase) else { return };
        let answer = step.opened();
        if !matches!(answer, Answer::Started { .. }) {
            step.reader = None;
        }
        let (key, pid) = (step.key.clone(), step.pid);
        askers.into_iter().for_each(|peer| self.say(peer, &answer));
        self.watch(number);
        signals.into_iter().for_each(|signal| self.signal(&key, signal));
        if let Some(ended) = self.early.remove(&pid) {
            self.ended(pid, ended);
        }
    }

    /// Gives the connection the step's stream from `offset`, or says why there is none.
    pub(super) fn open_stream(&mut self, peer: u64, number: u64, offset: u64) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        if matches!(step.phase, Phase::Launching { .. } | Phase::Running | Phase::Over(_)) {
            step.reader = Some(Reader::new(peer, offset.max(step.spool.acked())));
        }
        if let Phase::Launching { askers, .. } = &mut step.phase {
            askers.push(peer);
            return;
        }
        let answer = step.opened();
        self.say(peer, &answer);
        self.pump(number);
    }

    /// Keeps a signal for a step that is being started; `false` when the step is not in that phase.
    pub(super) fn keep_signal(&mut self, number: u64, signal: StepSignal) -> bool {
        let Some(Phase::Launching { signals, .. }) = self.steps.get_mut(&number).map(|step| &mut step.phase) else {
            return false;
        };
        // Three kinds of signals are; more of the same add nothing.
        if !signals.contains(&signal) {
            signals.push(signal);
        }
        true
    }
}
