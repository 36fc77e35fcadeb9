use std::time::Duration;

use super::{DagNode, DagView, NodeStatus, ascii, dot, list, mermaid, svg};

/// A view from `name: need need` lines.
fn view(text: &str) -> DagView {
    let rows: Vec<(&str, &str)> = text.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let at = |name: &str| rows.iter().position(|(known, _)| *known == name).unwrap();
    let edges = rows.iter().enumerate();
    let edges = edges.flat_map(|(i, (_, needs))| needs.split_whitespace().map(|n| (at(n), i)).collect::<Vec<_>>());
    DagView { edges: edges.collect(), nodes: rows.iter().map(|(name, _)| DagNode::new(*name)).collect() }
}

#[test]
fn nothing_and_one() {
    assert_eq!(ascii(&DagView::default(), 80), "(no stages)\n");
    insta::assert_snapshot!(ascii(&view("build:"), 80), @r##"
    ┌───────┐
    │ build │
    └───────┘
    "##);
}

#[test]
fn a_diamond_with_an_implied_need() {
    let diamond = view("a:\nb: a\nc: a\nd: b c a");
    insta::assert_snapshot!(ascii(&diamond, 80), @r##"
        ┌───┐
        │ a │
        └─┬─┘
      ╭───┴──╮
    ┌─▼─┐  ┌─▼─┐
    │ b │  │ c │
    └─┬─┘  └─┬─┘
      ╰───┬──╯
        ┌─▼─┐
        │ d │
        └───┘
    "##);
    insta::assert_snapshot!(list(&diamond), @r##"
    a
      b  ← a
      c  ← a
        d  ← a, b, c
    "##);
    insta::assert_snapshot!(mermaid(&diamond), @r##"
    flowchart LR
      n0["a"]
      n1["b"]
      n2["c"]
      n3["d"]
      n0 --> n1
      n0 --> n2
      n0 --> n3
      n1 --> n3
      n2 --> n3
    "##);
    insta::assert_snapshot!(dot(&diamond), @r##"
    digraph pipeline {
      rankdir=LR;
      node [shape=box, style=rounded, fontname="sans-serif", fontsize=12];
      edge [color="#6e7781"];
      n0 [label="a"];
      n1 [label="b"];
      n2 [label="c"];
      n3 [label="d"];
      n0 -> n1;
      n0 -> n2;
      n0 -> n3;
      n1 -> n3;
      n2 -> n3;
    }
    "##);
}

#[test]
fn a_delivery() {
    let delivery = view(
        "lint:\ntest:\nsecrets:\nimage: lint test secrets\nstaging: image\nmigrate: image\nproduction: staging migrate
         scan: image\ntell: production lint scan",
    );
    insta::assert_snapshot!(ascii(&delivery, 80), @r##"
       ┌──────┐  ┌──────┐  ┌─────────┐
       │ lint │  │ test │  │ secrets │
       └───┬──┘  └───┬──┘  └────┬────┘
           ╰─────────┼──────────╯
                 ┌───▼───┐
                 │ image │
                 └───┬───┘
         ╭───────────┼────────────╮
    ┌────▼────┐  ┌───▼─────┐  ┌───▼──┐
    │ staging │  │ migrate │  │ scan │
    └────┬────┘  └────┬────┘  └───┬──┘
         ╰─────────┬──╯      ╭────╯
            ┌──────▼─────┐   │
            │ production │   │
            └──────┬─────┘   │
                   ╰──╮  ╭───╯
                    ┌─▼──▼─┐
                    │ tell │
                    └──────┘
    "##);
}

#[test]
fn lines_that_cross() {
    let crossing = view(
        "checkout:\nlint: checkout\nunit: checkout\nlinux: checkout\nmac: checkout\nwin: checkout\nslow: linux unit
         e2e: linux mac\ndocs: lint\npackage: linux mac win\npublish: package e2e slow docs",
    );
    insta::assert_snapshot!(ascii(&crossing, 100), @r##"
                      ┌──────────┐
                      │ checkout │
                      └─────┬────┘
        ╭─────────┬─────────┼─────────┬────────╮
    ┌───▼──┐  ┌───▼──┐  ┌───▼───┐  ┌──▼──┐  ┌──▼──┐
    │ lint │  │ unit │  │ linux │  │ mac │  │ win │
    └───┬──┘  └───┬──┘  └───┬───┘  └──┬──┘  └──┬──┘
        ╰───╮     ╰─╮       │   ╭─────┴───╮  ╭─╯
            │       │  ╭────┴─┬─│───────╮ │  │
        ┌───▼──┐  ┌─▼──▼─┐  ┌─▼─▼─┐  ┌──▼─▼──▼─┐
        │ docs │  │ slow │  │ e2e │  │ package │
        └───┬──┘  └───┬──┘  └──┬──┘  └────┬────┘
            ╰─────────┴───┬────┴──────────╯
                     ┌────▼────┐
                     │ publish │
                     └─────────┘
    "##);
}

#[test]
fn statuses_details_and_labels_that_mean_something_to_a_format() {
    let mut view = view("a:\nb:\nc:\nd: a b\ne: b c\nf: a c");
    let statuses = [NodeStatus::Succeeded, NodeStatus::Failed, NodeStatus::Running, NodeStatus::Skipped];
    view.nodes.iter_mut().zip(statuses).for_each(|(node, status)| node.status = Some(status));
    view.nodes[0].duration = Some(Duration::from_millis(61_234));
    view.nodes[4].detail = "3 jobs".into();
    view.nodes[5].label = "\"q\" <b>&\\n 漢字\u{202e}\u{1b}[1m\nnext".into();
    insta::assert_snapshot!(ascii(&view, 80), @r##"
             ┌───────┐  ┌─────┐  ┌─────┐
             │ ✓ a   │  │ ✗ b │  │ ● c │
             │ 1m01s │  └──┬──┘  └──┬──┘
             └───┬───┘     │        │
      ╭──────────┴──╮      │    ╭───┴────────────╮
      │ ╭───────────│──────┴────│────────────╮   │
    ┌─▼─▼─┐  ┌──────▼───────────▼──────┐  ┌──▼───▼─┐
    │ – d │  │ "q" <b>&\n 漢字[1m next │  │ e      │
    └─────┘  └─────────────────────────┘  │ 3 jobs │
                                          └────────┘
    "##);
    insta::assert_snapshot!(mermaid(&view), @r##"
    flowchart LR
      n0["✓ a<br/>1m01s"]:::succeeded
      n1["✗ b"]:::failed
      n2["● c"]:::running
      n3["– d"]:::skipped
      n4["e<br/>3 jobs"]
      n5["#34;q#34; #60;b#62;#38;#92;n 漢字#91;1m next"]
      n0 --> n3
      n0 --> n5
      n1 --> n3
      n1 --> n4
      n2 --> n4
      n2 --> n5
      classDef running stroke:#bf8700,stroke-width:2px
      classDef succeeded stroke:#1a7f37,stroke-width:2px
      classDef failed stroke:#cf222e,stroke-width:2px
      classDef skipped stroke:#8b949e,stroke-width:2px
    "##);
    insta::assert_snapshot!(dot(&view), @r##"
    digraph pipeline {
      rankdir=LR;
      node [shape=box, style=rounded, fontname="sans-serif", fontsize=12];
      edge [color="#6e7781"];
      n0 [label="✓ a\n1m01s", color="#1a7f37"];
      n1 [label="✗ b", color="#cf222e"];
      n2 [label="● c", color="#bf8700"];
      n3 [label="– d", color="#8b949e"];
      n4 [label="e\n3 jobs"];
      n5 [label="\"q\" <b>&\\n 漢字[1m next"];
      n0 -> n3;
      n0 -> n5;
      n1 -> n3;
      n1 -> n4;
      n2 -> n4;
      n2 -> n5;
    }
    "##);
    let svg = svg(&view);
    assert!(svg.contains(">&quot;q&quot; &lt;b&gt;&amp;\\n 漢字[1m next</text>"), "{svg}");
    assert!(!svg.contains('\u{1b}') && !svg.contains('\u{202e}'));
}

#[test]
fn a_small_svg() {
    let svg = svg(&view("a:\nb: a"));
    let body = svg.split("</style>\n").nth(1).unwrap();
    insta::assert_snapshot!(body, @r##"
    <path class="e" d="M62.2 32.0H62.2C92.0 32.0 92.0 32.0 121.7 32.0"/>
    <path class="a" d="M127.7 32.0l-7 -4v8z"/>
    <g><title>a</title><rect class="b " x="16.0" y="16.0" width="46.2" height="32.0" rx="6"/>
    <text x="28.0" y="36.0">a</text></g>
    <g><title>b</title><rect class="b " x="127.7" y="16.0" width="46.2" height="32.0" rx="6"/>
    <text x="139.7" y="36.0">b</text></g>
    </svg>
    "##);
}

#[test]
fn wide_graphs_get_short_labels_and_then_a_list() {
    let mut text = String::from("prepare:\n");
    (0..8).for_each(|i| text.push_str(&format!("test-on-platform-{i}: prepare\n")));
    insta::assert_snapshot!(ascii(&view(&text), 120), @r##"
                                                      ┌─────────┐
                                                      │ prepare │
                                                      └────┬────┘
          ╭─────────────┬─────────────┬─────────────┬──────┴──────┬─────────────┬─────────────┬─────────────╮
    ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐  ┌─────▼────┐
    │ test-on… │  │ test-on… │  │ test-on… │  │ test-on… │  │ test-on… │  │ test-on… │  │ test-on… │  │ test-on… │
    └──────────┘  └──────────┘  └──────────┘  └──────────┘  └──────────┘  └──────────┘  └──────────┘  └──────────┘
    "##);
    insta::assert_snapshot!(ascii(&view(&text), 80), @r##"
    prepare
      test-on-platform-0  ← prepare
      test-on-platform-1  ← prepare
      test-on-platform-2  ← prepare
      test-on-platform-3  ← prepare
      test-on-platform-4  ← prepare
      test-on-platform-5  ← prepare
      test-on-platform-6  ← prepare
      test-on-platform-7  ← prepare
    "##);
}

#[test]
fn long_graphs_are_listed() {
    let chain: String =
        (0..100).map(|i| format!("s{i}: {}\n", if i > 0 { format!("s{}", i - 1) } else { String::new() })).collect();
    let drawn = ascii(&view(&chain), 80);
    assert_eq!(drawn.lines().count(), 100);
    assert_eq!(drawn.lines().nth(2), Some("    s2  ← s1"));
}

#[test]
fn large_graphs_are_drawn_in_every_format() {
    let count = 20_000;
    let nodes = (0..count).map(|i| DagNode::new(format!("n{i}"))).collect();
    let edges = (0..count).flat_map(|i| (1..=5).map(move |k| (i / (k + 1), i))).collect();
    let view = DagView { nodes, edges };
    for drawing in [ascii(&view, 80), mermaid(&view), dot(&view), svg(&view)] {
        assert!(drawing.contains("n19999"));
    }
}

/// Follows the wires of a drawing from under box `from` and returns the boxes that it comes down to.
fn reached(drawing: &str, from: &str) -> Vec<String> {
    let rows: Vec<Vec<char>> = drawing.lines().map(|line| line.chars().collect()).collect();
    let at = |y: usize, x: usize| rows.get(y).and_then(|row| row.get(x)).copied().unwrap_or(' ');
    let label = |y: usize, x: usize| {
        let left = (0..x).rev().find(|x| at(y, *x) == '│').unwrap();
        rows[y][left + 1..].iter().take_while(|c| **c != '│').collect::<String>().trim().to_owned()
    };
    let (arms_up, arms_down) = ("│┼┴┤├╯╰", "│┼┬┤├╮╭┬");
    let (arms_left, arms_right) = ("─┼┴┬┤╯╮", "─┼┴┬├╰╭");
    let mut found = Vec::new();
    for (y, row) in rows.iter().enumerate() {
        for x in 0..row.len() {
            // A port at the lower edge of the box.
            let edge =
                at(y, x) == '┬' && y > 0 && (0..x).rev().find(|x| at(y, *x) != '─').is_some_and(|x| at(y, x) == '└');
            if !edge || label(y - 1, x) != from {
                continue;
            }
            let mut todo = vec![(y + 1, x, 0i32, 1i32)];
            let mut seen = Vec::new();
            while let Some((y, x, dx, dy)) = todo.pop() {
                if seen.contains(&(y, x, dx, dy)) {
                    continue;
                }
                seen.push((y, x, dx, dy));
                let c = at(y, x);
                if c == '▼' {
                    found.push(label(y + 1, x));
                    continue;
                }
                // A line goes straight under one that crosses it.
                if c == '│' && dx != 0 {
                    todo.push((y, (x as i32 + dx) as usize, dx, 0));
                    continue;
                }
                if arms_down.contains(c) && dy >= 0 {
                    todo.push((y + 1, x, 0, 1));
                }
                if arms_up.contains(c) && dy < 0 {
                    todo.push((y - 1, x, 0, -1));
                }
                if arms_left.contains(c) && dx <= 0 {
                    todo.push((y, x - 1, -1, 0));
                }
                if arms_right.contains(c) && dx >= 0 {
                    todo.push((y, x + 1, 1, 0));
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// Who follows the lines from a box comes to those that wait for it, and to no other.
    #[test]
    fn lines_lead_where_they_should(size in 2usize..14, picks in proptest::collection::vec((0usize..14, 0usize..14), 0..22)) {
        let edges: Vec<(usize, usize)> =
            picks.iter().map(|(a, b)| (a.min(b) % size, *a.max(b) % size)).filter(|(a, b)| a < b).collect();
        let nodes = (0..size).map(|i| DagNode::new(format!("n{i}"))).collect();
        let view = DagView { nodes, edges };
        let drawing = ascii(&view, 200);
        let dependents = view.dependents();
        let layers = super::layers::assign(&dependents);
        let wanted = super::layers::reduce(&dependents, &layers);
        for (from, list) in wanted.iter().enumerate() {
            let mut names: Vec<String> = list.iter().map(|to| format!("n{to}")).collect();
            names.sort();
            proptest::prop_assert_eq!(reached(&drawing, &format!("n{}", from)), names, "from n{} in\n{}", from, drawing);
        }
    }
}
