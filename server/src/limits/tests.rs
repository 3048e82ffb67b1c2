use std::net::{IpAddr, Ipv6Addr};

use super::*;

fn rates(commands: usize, subscriptions: usize, publications: usize) -> SharedRates {
    SharedRates {
        commands_per_second: commands,
        subscriptions_per_second: subscriptions,
        publications_per_second: publications,
    }
}

/// No limit but those that a test sets.
fn config() -> Config {
    Config {
        commands_per_second: 1_000_000,
        command_burst: 1_000_000,
        subscriptions_per_second: 0,
        publications_per_second: 0,
        per_user: rates(0, 0, 0),
        per_address: rates(0, 0, 0),
        ..Config::default()
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn address(text: &str) -> Option<Origin> {
    Origin::of(text.parse().unwrap())
}

const SUBSCRIBE: Cost = Cost([1, 1, 0]);
const PUBLISH: Cost = Cost([1, 0, 1]);

#[test]
fn a_connection_has_a_burst_then_a_rate_then_errors_then_the_end() {
    let limits = Limits::new(&Config { commands_per_second: 100, command_burst: 200, ..config() });
    let (mut allowance, start) = (Allowance::default(), Instant::now());
    let mut taken = |at: Instant| match allowance.take(at, Cost::COMMAND, None, &limits) {
        Ok(()) => 'y',
        Err(Refused { is_enough: false, .. }) => 'n',
        Err(_) => 'x',
    };
    let burst: String = (0..=200).map(|_| taken(start)).collect();
    assert_eq!(burst, "y".repeat(200) + "n");
    assert_eq!(taken(start + Duration::from_millis(10)), 'y');
    assert_eq!(taken(start + Duration::from_millis(10)), 'n');
    assert_eq!(taken(start + Duration::from_secs(60)), 'y');
    let flood: String = (0..500).map(|_| taken(start + Duration::from_secs(60))).collect();
    assert_eq!(flood, "y".repeat(199) + &"n".repeat(200) + &"x".repeat(101));
}

#[test]
fn each_kind_has_a_rate_of_its_own_and_says_which() {
    let limits = Limits::new(&Config {
        subscriptions_per_second: 10,
        subscription_burst: 20,
        publications_per_second: 5,
        publication_burst: 5,
        ..config()
    });
    let (mut allowance, now) = (Allowance::default(), Instant::now());
    let mut take = |cost| allowance.take(now, cost, None, &limits).map_err(|refused| refused.to_string());
    assert_eq!(take(Cost([1, 20, 0])), Ok(()), "one command for many");
    assert_eq!(take(SUBSCRIBE), Err("more than 10 subscriptions a second; wait and send it again".into()));
    assert!((0..5).all(|_| take(PUBLISH).is_ok()));
    assert_eq!(take(PUBLISH), Err("more than 5 publications a second; wait and send it again".into()));
    assert_eq!(take(Cost::COMMAND), Ok(()));
}

#[test]
fn a_user_is_one_on_all_connections_and_an_address_for_all_users() {
    let limits = Limits::new(&Config { per_user: rates(1, 0, 0), per_address: rates(2, 0, 0), ..config() });
    let now = Instant::now();
    let take = |id: Option<&str>, from: &str| {
        let user = id.map(user);
        Allowance::new(address(from)).take(now, Cost::COMMAND, user.as_ref(), &limits).map_err(|r| r.scope)
    };
    let taken = |id, from| (0..100).take_while(|_| take(id, from).is_ok()).count();
    assert_eq!(taken(Some("u7"), "192.0.2.1"), SharedRates::BURST_SECONDS);
    assert_eq!(take(Some("u7"), "192.0.2.2"), Err(Scope::User));
    assert_eq!(taken(Some("u8"), "192.0.2.1"), SharedRates::BURST_SECONDS);
    assert_eq!(take(Some("u9"), "192.0.2.1"), Err(Scope::Address));
    assert_eq!(taken(None, "127.0.0.1"), 100, "loopback has no limit");
    assert_eq!(taken(None, "2001:db8::1"), 2 * SharedRates::BURST_SECONDS);
    assert_eq!(take(None, "2001:db8::ffff:2"), Err(Scope::Address), "a /64 is one");
    assert_eq!(take(None, "2001:db8:0:1::1"), Ok(()));
}

#[test]
fn who_is_refused_for_others_is_not_closed_for_them() {
    let limits = Limits::new(&Config { command_burst: 30, per_address: rates(1, 0, 0), ..config() });
    let start = Instant::now();
    let mut flooder = Allowance::new(address("192.0.2.1"));
    let flood: Vec<_> = (0..100).map(|_| flooder.take(start, Cost::COMMAND, None, &limits)).collect();
    assert!(flood.last().unwrap().is_err_and(|refused| refused.is_enough));
    let mut polite = Allowance::new(address("192.0.2.1"));
    let refused = polite.take(start, Cost::COMMAND, None, &limits).unwrap_err();
    assert_eq!((refused.scope, refused.is_enough), (Scope::Address, false));
    assert_eq!(polite.take(start + refused.wait, Cost::COMMAND, None, &limits), Ok(()));
}

#[test]
fn a_dry_run_refuses_nothing_and_counts_what_it_would() {
    let config = Config { commands_per_second: 1, command_burst: 1, per_user: rates(0, 0, 1), ..config() };
    let limits = Limits::new(&Config { limits_dry_run: true, ..config.clone() });
    let (now, u7) = (Instant::now(), user("u7"));
    let mut allowance = Allowance::default();
    assert!((0..10).all(|_| allowance.take(now, Cost::COMMAND, Some(&u7), &limits).is_ok()));
    for _ in 0..=SharedRates::BURST_SECONDS {
        assert_eq!(Allowance::default().take(now, PUBLISH, Some(&u7), &limits), Ok(()));
    }
    let summaries: Vec<_> = (0..2 * SUMMARY).filter_map(|_| limits.tick(now)).collect();
    assert_eq!(
        summaries.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["in the last minute 10 commands were over a limit and were let through (limits_dry_run): 9 by \
          commands_per_second, 1 by per_user.publications_per_second"],
        "one, since nothing happened after it"
    );
    let limits = Limits::new(&config);
    let mut allowance = Allowance::default();
    let refused = (0..10).filter(|_| allowance.take(now, Cost::COMMAND, None, &limits).is_err()).count();
    let summary = (0..SUMMARY).find_map(|_| limits.tick(now)).unwrap().to_string();
    assert_eq!((refused, summary.contains("9 commands were over a limit and were refused")), (9, true), "{summary}");
}

#[test]
fn the_tables_are_bounded_and_empty_themselves() {
    let limits = Limits::new(&Config { per_user: rates(1, 0, 0), per_address: rates(1, 0, 0), ..config() });
    let start = Instant::now();
    let entries = |table: &Table| (0..STRIPES).map(|at| table.stripe(at).len()).sum::<usize>();
    let capacity = |table: &Table| (0..STRIPES).map(|at| table.stripe(at).capacity()).sum::<usize>();
    for n in 0..400_000_u64 {
        let network = Ipv6Addr::from(u128::from(n) << 64 | 0x2001 << 112);
        let mut allowance = Allowance::new(Origin::of(IpAddr::V6(network)));
        let user = UserId::parse(&n.to_string()).unwrap();
        assert_eq!(allowance.take(start, Cost::COMMAND, Some(&user), &limits), Ok(()));
    }
    let (users, addresses) = (&limits.limiter.users, &limits.limiter.addresses);
    assert_eq!((entries(users), entries(addresses)), (STRIPES * MAX_ENTRIES, STRIPES * MAX_ENTRIES));
    for _ in 0..STRIPES {
        limits.tick(start);
    }
    assert_eq!(entries(users), STRIPES * MAX_ENTRIES, "what counts is not forgotten");
    for _ in 0..STRIPES {
        limits.tick(start + Duration::from_secs(1));
    }
    assert_eq!((entries(users), entries(addresses)), (0, 0));
    assert_eq!((capacity(users), capacity(addresses)), (0, 0));
}

#[test]
fn what_a_command_costs() {
    let cost = |text: &str| Cost::of(&realtime_protocol::ClientRequest::parse(text).unwrap().command).0;
    assert_eq!(cost(r#"{"type":"ping"}"#), [1, 0, 0]);
    assert_eq!(cost(r#"{"type":"subscribe","channel":"c"}"#), [1, 1, 0]);
    assert_eq!(cost(r#"{"action":"register","channels":["a","b","c"]}"#), [1, 3, 0]);
    assert_eq!(cost(r#"{"type":"broadcast_update","channel":"c","data":1}"#), [1, 0, 1]);
}
