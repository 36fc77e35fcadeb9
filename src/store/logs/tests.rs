//! Offsets stay true however a log is written, cut and read.

use std::fs;

use proptest::prelude::*;

use crate::id::{AttemptId, JobId, RunId, StepKey};
use crate::store::contract::Logs;
use crate::store::folder::StateFolder;
use crate::store::logs::index::{BLOCK, line_ends};
use crate::store::logs::place::{LogPlace, SEGMENT};
use crate::store::logs::{FileLogs, LogName};

fn setting() -> (tempfile::TempDir, FileLogs, RunId, StepKey) {
    let temp = tempfile::tempdir().unwrap();
    let logs = FileLogs::new(&StateFolder::open_at(temp.path().to_owned()).unwrap());
    (temp, logs, RunId::from("0123456789ab"), AttemptId::new(JobId::from("test"), 1).step(3))
}

#[test]
fn nothing_is_made_before_the_first_byte_and_little_after_it() {
    let (temp, logs, run, step) = setting();
    drop(logs.open(&run, &step, 0).unwrap());
    assert_eq!(fs::read_dir(temp.path().join("runs")).unwrap().count(), 0);
    let mut log = logs.open(&run, &step, 0).unwrap();
    log.append(b"short\n").unwrap();
    assert_eq!(fs::read_dir(temp.path().join("runs")).unwrap().count(), 0);
    log.flush().unwrap();
    let folder = logs.state.run(&run).join("logs").join("test-1");
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["3.log"]);
    assert_eq!(logs.summary(&run, &step).unwrap(), "");
    logs.write_summary(&run, &step, "# done").unwrap();
    assert_eq!(logs.summary(&run, &step).unwrap(), "# done");
}

#[test]
fn line_ends_are_counted() {
    for length in [0, 1, 254, 255, 256, 1000] {
        assert_eq!(line_ends(&vec![b'\n'; length]), length as u64);
        assert_eq!(line_ends(&vec![b'x'; length]), 0);
    }
}

/// A log's whole content, and where its lines begin, beside what the store says.
fn check(logs: &FileLogs, run: &RunId, step: &StepKey, expected: &[u8]) {
    let name = LogName::Step(step.clone());
    assert_eq!(logs.len(run, &name).unwrap(), expected.len() as u64);
    let mut read = Vec::new();
    loop {
        let more = logs.read(run, step, read.len() as u64, 1_000_000).unwrap();
        if more.is_empty() {
            break;
        }
        read.extend(more);
    }
    assert!(read == expected, "the log differs");
    let mut starts = vec![0];
    starts.extend(expected.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
    starts.retain(|start| *start < expected.len());
    let step_by = (starts.len() / 20).max(1);
    for (line, start) in starts.iter().enumerate().step_by(step_by) {
        assert_eq!(logs.line(run, &name, line as u64).unwrap(), Some(*start as u64), "line {line}");
        let from_end = (starts.len() - line) as u64;
        assert_eq!(logs.tail(run, &name, from_end).unwrap(), *start as u64, "tail {from_end}");
    }
    assert_eq!(logs.line(run, &name, starts.len() as u64).unwrap(), None);
    assert_eq!(logs.tail(run, &name, 0).unwrap(), expected.len() as u64);
    assert_eq!(logs.tail(run, &name, u64::MAX).unwrap(), 0);
}

/// `length` bytes of lines of many lengths.
fn text(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|i| if (i * (i / 977 + seed + 3)).is_multiple_of(61) { b'\n' } else { b'a' + (i % 26) as u8 })
        .collect()
}

#[test]
fn a_log_of_several_segments_is_read_and_cut_anywhere() {
    let (_temp, logs, run, step) = setting();
    let all = text(2 * SEGMENT as usize + 300_000, 1);
    let mut log = logs.open(&run, &step, 0).unwrap();
    for piece in all.chunks(777_777) {
        log.append(piece).unwrap();
    }
    log.flush().unwrap();
    check(&logs, &run, &step, &all);
    let place = LogPlace::of_step(&logs.state, &run, &step);
    assert_eq!(fs::metadata(place.segment(0)).unwrap().len(), SEGMENT);
    assert_eq!(fs::metadata(place.segment(2)).unwrap().len(), 300_000);
    let mut expected = all;
    for at in [2 * SEGMENT, SEGMENT + BLOCK, SEGMENT - 1, BLOCK, 1] {
        let mut log = logs.open(&run, &step, at).unwrap();
        expected.truncate(at as usize);
        let more = text(200_001, at as usize);
        log.append(&more).unwrap();
        log.flush().unwrap();
        expected.extend(more);
        check(&logs, &run, &step, &expected);
        expected.truncate(at as usize);
    }
    drop(logs.open(&run, &step, 0).unwrap());
    check(&logs, &run, &step, b"");
    assert_eq!(fs::read_dir(place.segment(0).parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn an_index_that_lacks_entries_is_made_whole() {
    let (_temp, logs, run, step) = setting();
    let all = text(10 * BLOCK as usize + 100, 2);
    let mut log = logs.open(&run, &step, 0).unwrap();
    log.append(&all).unwrap();
    drop(log);
    let index = LogPlace::of_step(&logs.state, &run, &step).index();
    assert_eq!(fs::metadata(&index).unwrap().len(), 80);
    for damage in [79, 24, 0] {
        fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(damage).unwrap();
        check(&logs, &run, &step, &all);
        drop(logs.open(&run, &step, all.len() as u64).unwrap());
        assert_eq!(fs::metadata(&index).unwrap().len(), 80);
        check(&logs, &run, &step, &all);
    }
    fs::remove_file(&index).unwrap();
    check(&logs, &run, &step, &all);
}

#[test]
fn what_a_power_loss_took_leaves_offsets_true() {
    let (_temp, logs, run, step) = setting();
    let mut log = logs.open(&run, &step, 0).unwrap();
    log.append(b"some\n").unwrap();
    drop(log);
    let at = SEGMENT + 10;
    let mut log = logs.open(&run, &step, at).unwrap();
    log.append(b"\nmore\n").unwrap();
    log.flush().unwrap();
    let name = LogName::Step(step.clone());
    assert_eq!(logs.bytes(&run, &name, at, 100).unwrap(), b"\nmore\n");
    assert_eq!(logs.bytes(&run, &name, 0, 6).unwrap(), b"some\n\0");
    assert_eq!(logs.line(&run, &name, 2).unwrap(), Some(at + 1));
}

#[test]
fn a_reader_beside_the_writer_sees_only_what_was_written() {
    let (_temp, logs, run, step) = setting();
    let all = text(6 * 1024 * 1024, 3);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut log = logs.open(&run, &step, 0).unwrap();
            for piece in all.chunks(9_999) {
                log.append(piece).unwrap();
                log.flush().unwrap();
            }
        });
        let mut read = Vec::new();
        while read.len() < all.len() {
            let finished = writer.is_finished();
            let more = logs.read(&run, &step, read.len() as u64, 70_000).unwrap();
            assert!(!more.is_empty() || !finished, "its end was not seen");
            assert!(all[read.len()..].starts_with(&more), "at {}", read.len());
            read.extend(more);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_history_of_writes_and_cuts(history in prop::collection::vec((0..150_000usize, prop::option::of(any::<prop::sample::Index>())), 1..5)) {
        let (_temp, logs, run, step) = setting();
        let mut expected = Vec::new();
        for (length, cut) in history {
            let at = cut.map_or(expected.len(), |cut| cut.index(expected.len() + 1));
            expected.truncate(at);
            let mut log = logs.open(&run, &step, at as u64).unwrap();
            let more = text(length, at);
            for piece in more.chunks(30_011) {
                log.append(piece).unwrap();
                prop_assert_eq!(log.len(), expected.len() as u64 + piece.len() as u64);
                expected.extend_from_slice(piece);
            }
            drop(log);
            check(&logs, &run, &step, &expected);
        }
    }
}
