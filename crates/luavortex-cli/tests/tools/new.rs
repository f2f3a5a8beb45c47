use super::*;
use crate::support::Directory;

#[test]
fn a_new_project_runs_as_it_is() {
    let directory = Directory::new("new-runs");
    run(luavortex(["new", "chat"]).current_dir(directory.path())).expect_code(0);
    let project = directory.path().join("chat");

    let outcome = run(luavortex(["test.lua"]).current_dir(&project)).expect_code(0);
    assert_eq!(
        outcome.stdout,
        "passed: a name is greeted\npassed: nobody is not greeted\n"
    );

    let mut listener = Running::start(luavortex(["listener.lua", "0"]).current_dir(&project));
    let port = listener.wait_for(|line| line.strip_prefix("listening on port ").map(str::to_owned));
    let outcome =
        run(luavortex(["client.lua", "World", &port]).current_dir(&project)).expect_code(0);
    assert_eq!(outcome.stdout, "Hello, World!\n");

    // What the README says about looking at it from outside.
    let address = format!("127.0.0.1:{port}");
    let outcome = tool(&[
        "send",
        &address,
        "--profile",
        "urn:example:chat",
        "-m",
        "World",
        "-q",
    ])
    .expect_code(0);
    assert_eq!(outcome.stdout, "Hello, World!\n");
    listener.signal(nix::sys::signal::Signal::SIGINT);
    listener.finish().expect_code(0);
}

#[test]
fn a_new_project_has_types_for_the_editor() {
    let directory = Directory::new("new-types");
    let path = directory.path().join("deep/project");
    tool(&["new", path.to_str().unwrap()]).expect_code(0);
    let settings = std::fs::read_to_string(path.join(".luarc.json")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let library = settings["workspace.library"][0].as_str().unwrap();
    assert!(path.join(library).join("vortex.lua").is_file());
    assert!(
        std::fs::read_to_string(path.join("README.md"))
            .unwrap()
            .starts_with("# project\n")
    );
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let directory = Directory::new("new-there");
    directory.write("chat", "mine");
    let outcome = run(luavortex(["new", "chat"]).current_dir(directory.path())).expect_code(1);
    assert!(
        outcome.stderr.contains("chat is there already"),
        "{outcome:#?}"
    );
    assert_eq!(
        std::fs::read_to_string(directory.path().join("chat")).unwrap(),
        "mine"
    );
}
