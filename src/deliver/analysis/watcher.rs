//! Watching a version: a sample every so often, and what the gates say to it.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use super::super::ground::{Tracks, Verdict};
use super::counters::Counters;
use super::judge::{Judge, When};
use super::signs::{Seen, Signs};
use super::snapshot::{Pod, Pods, Side, Snapshot};
use super::source::Source;
use crate::client::kube::{Cluster, POD};
use crate::clock::{Clock, SystemClock};
use crate::event::GateReading;
use crate::stage::Analysis;

/// A sample's longest time; beyond it there is none.
const SAMPLE: Duration = Duration::from_secs(15);

/// What a sample came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// What the gates say.
    pub verdict: Verdict,
    /// What was measured so far, for people: `errors 1.2 % of 340`.
    pub text: String,
    /// What each gate has measured so far.
    pub readings: Vec<GateReading>,
}

/// Watches a version.
pub struct Watcher {
    cluster: Cluster,
    namespace: String,
    spec: Analysis,
    tracks: Tracks,
    source: Source,
    begin: Snapshot,
    new: Side,
    old: Option<Side>,
    signs: Signs,
    judge: Judge,
    next: Instant,
    /// When a sample came last, and why none did since.
    last: Instant,
    trouble: String,
}

/// One look at the cluster.
struct Sample {
    seen: Vec<Seen>,
    new: Pods,
    old: Option<Pods>,
    /// The pods' objects, for what is asked about them.
    new_pods: Vec<Json>,
    old_pods: Vec<Json>,
    trouble: Option<String>,
}

impl Watcher {
    /// Begins to watch: from `known` counters where the watch goes on after a crash, else from what the pods have counted now.
    /// A query that is wrong is told here.
    pub async fn begin(
        cluster: &Cluster,
        namespace: &str,
        spec: &Analysis,
        tracks: &Tracks,
        known: Option<Snapshot>,
    ) -> Result<Self, String> {
        let source = Source::new(spec)?;
        let begin = match known {
            Some(known) => known,
            None => {
                let sample = sample(cluster, &source, namespace, tracks).await;
                let sample = sample.map_err(|why| format!("failed to begin the analysis: {why}"))?;
                source.try_queries(spec, &sample.new_pods.iter().collect::<Vec<_>>()).await?;
                Snapshot { at: SystemClock.now(), new: sample.new, old: sample.old }
            }
        };
        let now = Instant::now();
        Ok(Self {
            cluster: cluster.clone(),
            new: Side::new(begin.new.clone()),
            old: tracks.old.as_ref().map(|_| Side::new(begin.old.clone().unwrap_or_default())),
            signs: Signs::new(&begin.new, spec.restarts.unwrap_or_default()),
            judge: Judge::new(spec.clone()),
            spec: spec.clone(),
            namespace: namespace.to_owned(),
            tracks: tracks.clone(),
            source,
            begin,
            next: now,
            last: now,
            trouble: String::new(),
        })
    }

    /// The counters at the beginning. Whoever keeps them goes on with them after a crash.
    pub fn snapshot(&self) -> &Snapshot {
        &self.begin
    }

    /// Waits until the next sample is due, takes it, and says what it means. Whoever stops to wait for it loses nothing.
    pub async fn next(&mut self) -> Look {
        tokio::time::sleep_until(self.next).await;
        self.look(When::Going).await
    }

    /// The verdict when the time is over, never [`Verdict::Hold`]. What cannot be decided is watched on, at most for as long
    /// again; whoever stops to wait for it loses nothing.
    pub async fn finish(&mut self) -> Verdict {
        let mut when = When::End;
        let until = Instant::now() + SystemClock.now().since(self.begin.at);
        loop {
            let verdict = self.look(when).await.verdict;
            match verdict {
                Verdict::Hold if when == When::Last => return Verdict::Pass,
                Verdict::Hold => {}
                decided => return decided,
            }
            tokio::time::sleep_until(self.next.min(until)).await;
            when = if Instant::now() >= until { When::Last } else { When::End };
        }
    }

    async fn look(&mut self, when: When) -> Look {
        let started = Instant::now();
        let sample =
            tokio::time::timeout(SAMPLE, sample(&self.cluster, &self.source, &self.namespace, &self.tracks)).await;
        let sample = match sample {
            Ok(sample) => sample,
            Err(_) => Err(format!("no sample within {}", crate::clock::humanize(SAMPLE))),
        };
        let mut failed = Vec::new();
        let trouble = match sample {
            Ok(sample) => {
                let answers = self.source.asks_pods().then_some(&sample.new);
                failed = self.signs.look(&sample.seen, answers);
                self.new.see(&sample.new);
                if let (Some(side), Some(pods)) = (self.old.as_mut(), &sample.old) {
                    side.see(pods);
                }
                let mut trouble = sample.trouble;
                // A sign does not wait for what else could be measured.
                if failed.is_empty() && !self.judge.gauges.is_empty() {
                    let (new, old): (Vec<_>, Vec<_>) =
                        (sample.new_pods.iter().collect(), sample.old_pods.iter().collect());
                    let gauges =
                        self.source.gauges(&self.cluster, &self.namespace, &mut self.judge, &self.spec, &new, &old);
                    trouble = trouble.or(gauges.await);
                }
                trouble
            }
            Err(why) => Some(why),
        };
        self.next = (started + self.spec.every()).max(Instant::now());
        match trouble {
            None => {
                self.last = started;
                self.trouble.clear();
            }
            Some(why) => self.trouble = why,
        }
        let (new, old) = (self.new.gain.clone(), self.baseline());
        let readings = self.judge.readings(&new, old.as_ref());
        let verdict = match self.judge.look(&new, old.as_ref(), when) {
            // Signs come first: nothing that was counted is as sure.
            Verdict::Fail(gates) => {
                failed.extend(gates);
                Verdict::Fail(failed)
            }
            _ if !failed.is_empty() => Verdict::Fail(failed),
            verdict => self.gap(when).unwrap_or(verdict),
        };
        Look { verdict, text: text(&readings), readings }
    }

    /// Whether nobody could look for too long. Where the time is over, what was not seen of late cannot be called good.
    fn gap(&self, when: When) -> Option<Verdict> {
        let gap = self.last.elapsed();
        if !self.trouble.is_empty() && gap >= self.spec.max_gap {
            let time = crate::clock::humanize(gap);
            return Some(Verdict::Gap(format!("no sample for {time}: {}", self.trouble)));
        }
        (when != When::Going && !self.trouble.is_empty()).then_some(match when {
            When::Last => Verdict::Gap(format!("no sample at the end of the time: {}", self.trouble)),
            _ => Verdict::Hold,
        })
    }

    /// What the new version is compared with: the old one since the beginning, or where it gets no traffic any more, since it
    /// runs.
    fn baseline(&self) -> Option<Counters> {
        let old = self.old.as_ref()?;
        let enough = |counters: &Counters| counters.requests.max(counters.timed()) >= self.spec.min_requests as f64;
        if enough(&old.gain) { Some(old.gain.clone()) } else { Some(old.lifetime()).filter(enough) }
    }
}

fn text(readings: &[GateReading]) -> String {
    let one = |reading: &GateReading| format!("{} {}", reading.gate, reading.measured);
    let mut text = readings.iter().map(one).collect::<Vec<_>>().join(", ");
    if let Some(samples) = readings.iter().map(|reading| reading.samples).max() {
        text.push_str(&format!(" of {samples}"));
    }
    text
}

async fn sample(cluster: &Cluster, source: &Source, namespace: &str, tracks: &Tracks) -> Result<Sample, String> {
    let list = async |labels: Option<&String>| match labels {
        Some(labels) => cluster.list(&POD, namespace, labels).await.map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    };
    let (new_pods, old_pods) = tokio::join!(list(Some(&tracks.new)), list(tracks.old.as_ref()));
    let (new_pods, old_pods) = (new_pods?, old_pods?);
    // Only pods that run can be asked; the others' state speaks for them.
    let runs = |pod: &&Json| Seen::read(pod).is_some() && pod["status"]["phase"] == "Running";
    let (ask_new, ask_old): (Vec<_>, Vec<_>) =
        (new_pods.iter().filter(runs).collect(), old_pods.iter().filter(runs).collect());
    let (counted, counted_old) =
        tokio::join!(source.counted(cluster, namespace, &ask_new), source.counted(cluster, namespace, &ask_old));
    let seen: Vec<Seen> = new_pods.iter().filter_map(Seen::read).collect();
    let pods = |all: &[Seen], counters: &std::collections::BTreeMap<String, Counters>| -> Pods {
        let pod = |seen: &Seen| Pod {
            restarts: seen.restarts,
            ready: seen.ready,
            counters: counters.get(&seen.name).cloned(),
        };
        all.iter().map(|seen| (seen.name.clone(), pod(seen))).collect()
    };
    let old_seen: Vec<Seen> = old_pods.iter().filter_map(Seen::read).collect();
    let trouble = if seen.is_empty() {
        Some(format!("there are no pods with labels {} in namespace \"{}\"", tracks.new, namespace))
    } else if counted.by_pod.is_empty() {
        counted.trouble
    } else {
        None
    };
    Ok(Sample {
        new: pods(&seen, &counted.by_pod),
        old: tracks.old.is_some().then(|| pods(&old_seen, &counted_old.by_pod)),
        seen,
        new_pods: new_pods.into_iter().filter(|pod| Seen::read(pod).is_some()).collect(),
        old_pods: old_pods.into_iter().filter(|pod| Seen::read(pod).is_some()).collect(),
        trouble,
    })
}
