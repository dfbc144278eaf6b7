use std::thread;
use std::time::Duration;

use cqi_testkit::scripted::Api;

use super::asked;
use super::client::Client;
use super::kafka;

/// Joins alone, as the group's leader; returns the member's id and the generation.
fn join_alone(client: &mut Client) -> (String, i32) {
    let member = client.ask(9, &asked::join("")).member_id.to_string();
    let joined = client.ask(9, &asked::join(&member));
    assert_eq!((joined.error_code, &*joined.leader), (0, &*member));
    let sync = asked::sync(&member, joined.generation_id, &[(&member, "all")]);
    assert_eq!(client.ask(5, &sync).assignment, "all");
    (member, joined.generation_id)
}

#[test]
fn two_members_share_a_group() {
    let kafka = kafka();
    let mut first = Client::to(&kafka, 1);
    let (leader, generation) = join_alone(&mut first);

    let mut second = Client::to(&kafka, 1);
    let follower = second.ask(9, &asked::join("")).member_id.to_string();
    let joining = {
        let follower = follower.clone();
        thread::spawn(move || {
            let joined = second.ask(9, &asked::join(&follower));
            let sync = asked::sync(&follower, joined.generation_id, &[]);
            let assignment = second.ask(5, &sync).assignment;
            (second, joined, assignment)
        })
    };
    while first
        .ask(4, &asked::heartbeat(&leader, generation))
        .error_code
        != 27
    {
        thread::yield_now();
    }
    // Offsets of the generation that ends are still taken.
    let commit = first.ask(9, &asked::commit(&leader, generation, 7));
    assert_eq!(commit.topics[0].partitions[0].error_code, 0);
    let joined = first.ask(9, &asked::join(&leader));
    assert_eq!(joined.generation_id, generation + 1);
    assert_eq!(joined.members.len(), 2);
    let given = [(&*leader, "half"), (&*follower, "other half")];
    let sync = asked::sync(&leader, joined.generation_id, &given);
    assert_eq!(first.ask(5, &sync).assignment, "half");
    let (mut second, followed, assignment) = joining.join().unwrap();
    assert_eq!(assignment, "other half");
    assert_eq!(followed.members.len(), 0);

    let stale = asked::commit(&leader, generation, 8);
    let stale = first.ask(9, &stale).topics[0].partitions[0].error_code;
    assert_eq!(stale, 22);
    assert_eq!(kafka.committed("desk", "orders", 0), Some(7));
    assert_eq!(
        second.ask(5, &asked::leave(&follower)).members[0].error_code,
        0
    );
    let alone = asked::heartbeat(&leader, joined.generation_id);
    assert_eq!(first.ask(4, &alone).error_code, 27);
    assert_eq!(kafka.members("desk"), [leader]);
}

#[test]
fn a_silent_member_is_forgotten() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let short = |member: &str| asked::join(member).with_session_timeout_ms(50);
    let member = client.ask(9, &short("")).member_id.to_string();
    let generation = client.ask(9, &short(&member)).generation_id;
    thread::sleep(Duration::from_millis(60));
    let answer = client.ask(4, &asked::heartbeat(&member, generation));
    assert_eq!(answer.error_code, 25);
    // Who waits for it does not wait for longer than it may take to join.
    let slow = client.ask(9, &asked::join("")).member_id.to_string();
    assert_eq!(
        client.ask(9, &asked::join(&slow)).generation_id,
        generation + 1
    );
}

#[test]
fn what_befalls_a_group_is_told() {
    let kafka = super::ScriptedKafka::builder()
        .brokers(2)
        .topic("orders", 1);
    let kafka = kafka.start().unwrap();
    let mut client = Client::to(&kafka, 1);
    let (member, generation) = join_alone(&mut client);
    let code = |client: &mut Client| {
        let heartbeat = asked::heartbeat(&member, generation);
        client.ask(4, &heartbeat).error_code
    };
    assert_eq!(code(&mut client), 0);
    kafka.rebalance("desk");
    assert_eq!(code(&mut client), 27);
    kafka.move_coordinator(2);
    assert_eq!(code(&mut client), 16);
    assert_eq!(client.ask(3, &asked::coordinator()).node_id.0, 2);
    let mut other = Client::to(&kafka, 2);
    assert_eq!(code(&mut other), 27);
    kafka.forget_members("desk");
    assert_eq!(code(&mut other), 25);
    assert_eq!(kafka.count(Api::Heartbeat), 5);
}

#[test]
fn a_static_member_comes_back_and_fences_the_first() {
    let kafka = kafka();
    let mut client = Client::to(&kafka, 1);
    let join = |member: &str| asked::join(member).with_group_instance_id(Some("desk-1".into()));
    let first = client.ask(9, &join(""));
    assert_eq!(first.error_code, 0);
    let second = client.ask(9, &join(""));
    assert_ne!(second.member_id, first.member_id);
    let heartbeat = asked::heartbeat(&first.member_id, second.generation_id);
    let heartbeat = heartbeat.with_group_instance_id(Some("desk-1".into()));
    assert_eq!(client.ask(4, &heartbeat).error_code, 82);
    assert_eq!(client.ask(9, &join(&first.member_id)).error_code, 82);
    assert_eq!(kafka.members("desk"), [second.member_id.to_string()]);
}
