use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

use crate::client::shim::protocol::{
    Answer, MAX_FRAME, Malformed, Refusal, Request, Start, StepEnd, StepSignal, folder_of, job_of, next_frame,
};

fn text(value: &str) -> String {
    value.to_owned()
}

fn requests() -> Vec<Request> {
    let key = || text("test.2/1/0");
    vec![
        Request::Hello { version: 1, oldest: 1, token: b"secret".to_vec() },
        Request::Put { key: key(), name: text("script"), bytes: b"true\n".to_vec() },
        Request::Start(Start {
            key: key(),
            argv: vec![text("sh"), text("-e"), text("script")],
            env: vec![(text("A"), text("b=c"))],
            path: vec![text("/opt/bin")],
            cwd: text("/work"),
            files: vec![text("script")],
            collect: vec![text("output")],
            spool_bytes: 7,
        }),
        Request::Signal { key: key(), signal: StepSignal::Interrupt },
        Request::Signal { key: key(), signal: StepSignal::Terminate },
        Request::Signal { key: key(), signal: StepSignal::Kill },
        Request::Attach { key: key(), offset: 1 << 40, collect: vec![] },
        Request::Credit { key: key(), offset: 3 },
        Request::Ack { key: key(), offset: 3 },
        Request::End { job: text("test.2/1") },
        Request::Shutdown,
    ]
}

fn answers() -> Vec<Answer> {
    let key = || text("test.2/1/0");
    let exited = |exit| Answer::Exited { key: key(), exit, files: vec![text("output")] };
    let refused = |reason| Answer::Refused { key: key(), reason, detail: text("why") };
    vec![
        Answer::Welcome { version: 1 },
        Answer::Rejected { reason: text("no") },
        Answer::Started { key: key() },
        refused(Refusal::ProgramNotFound),
        refused(Refusal::NotExecutable),
        refused(Refusal::CwdMissing),
        refused(Refusal::Invalid),
        refused(Refusal::System),
        Answer::Output { key: key(), offset: 9, bytes: vec![0, 255] },
        Answer::File { key: key(), name: text("output"), bytes: vec![1] },
        exited(StepEnd::Code(-1)),
        exited(StepEnd::Signal(9)),
        exited(StepEnd::OutOfMemory),
        Answer::Unknown { key: key() },
        Answer::Lost { key: key() },
        Answer::Ended { job: text("test.2/1"), left: 2 },
        Answer::Bye,
    ]
}

#[test]
fn everything_said_is_understood() {
    let mut stream = Vec::new();
    requests().iter().for_each(|request| request.encode(&mut stream));
    let mut rest = stream.as_slice();
    for request in requests() {
        let (body, length) = next_frame(rest, MAX_FRAME).unwrap().unwrap();
        assert_eq!(Request::decode(body), Ok(request.clone()));
        for cut in 1..body.len() {
            assert!(Request::decode(&body[..cut]).is_err(), "{request:?} cut at {cut}");
        }
        // A later version adds fields at the end.
        assert_eq!(Request::decode(&[body, b"more"].concat()), Ok(request));
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
    for answer in answers() {
        let mut frame = Vec::new();
        answer.encode(&mut frame);
        let (body, length) = next_frame(&frame, MAX_FRAME).unwrap().unwrap();
        assert_eq!((Answer::decode(body), length), (Ok(answer.clone()), frame.len()));
        for cut in 1..body.len() {
            assert!(Answer::decode(&body[..cut]).is_err(), "{answer:?} cut at {cut}");
        }
    }
}

/// The bytes of version 1. They change only with the version, since shims and engines of two releases meet.
#[test]
fn the_bytes_stay_as_they_are() {
    let hex = |frames: Vec<Vec<u8>>| -> String {
        let line = |frame: &Vec<u8>| frame.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
        frames.iter().map(line).collect()
    };
    let encode_request = |request: &Request| {
        let mut frame = Vec::new();
        request.encode(&mut frame);
        frame
    };
    let encode_answer = |answer: &Answer| {
        let mut frame = Vec::new();
        answer.encode(&mut frame);
        frame
    };
    let text =
        hex(requests().iter().map(encode_request).collect()) + &hex(answers().iter().map(encode_answer).collect());
    insta::assert_snapshot!(text);
}

#[test]
fn frames_are_bounded() {
    assert_eq!(next_frame(&[0, 0, 0], 10), Ok(None));
    assert_eq!(next_frame(&[2, 0, 0, 0, 9], 10), Ok(None));
    assert_eq!(next_frame(&[1, 0, 0, 0, 9, 7], 10), Ok(Some((&[9][..], 5))));
    assert!(matches!(next_frame(&[0, 0, 0, 0], 10), Err(Malformed(_))));
    assert!(matches!(next_frame(&[11, 0, 0, 0], 10), Err(Malformed(_))));
    // A list that claims four thousand million items takes no memory.
    let mut body = vec![3, 0, 0, 0, 0];
    body.extend([255; 4]);
    assert!(Request::decode(&body).is_err());
}

#[test]
fn keys_name_folders() {
    assert_eq!(folder_of("test.2/1/0").as_deref(), Some("test.2.1.0"));
    assert_eq!(job_of("test.2/1/0"), Some("test.2/1"));
    for bad in ["", "a", "a/1", "a/1/", "/1/0", "a/x/0", "a/b/1/0", "../1/0/1", "a\n/1/0", "a/1/00000000000"] {
        assert_eq!(folder_of(bad), None, "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(kind in any::<u8>(), mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _: Result<_, Malformed> = next_frame(&bytes, MAX_FRAME);
        bytes.insert(0, kind);
        drop(Request::decode(&bytes));
        drop(Answer::decode(&bytes));
    }

    #[test]
    fn damaged_frames_do_not_make_it_panic(which in 0usize..28, at in any::<usize>(), byte in any::<u8>()) {
        let mut frame = Vec::new();
        match requests().get(which) {
            Some(request) => request.encode(&mut frame),
            None => answers()[which - requests().len()].encode(&mut frame),
        }
        let body = &mut frame[4..];
        let at = at % body.len();
        body[at] = byte;
        drop(Request::decode(body));
        drop(Answer::decode(body));
    }

    #[test]
    fn any_step_is_understood(argv in proptest::collection::vec(any::<String>(), 0..5), value in any::<String>(), spool_bytes in any::<u64>()) {
        let request = Request::Start(Start { argv, env: vec![(value.clone(), value)], spool_bytes, ..Start::default() });
        let mut frame = Vec::new();
        request.encode(&mut frame);
        prop_assert_eq!(Request::decode(&frame[4..]), Ok(request));
    }
}
