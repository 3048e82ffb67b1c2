use realtime_protocol::PublisherFrame;

use super::*;

fn publisher(name: &str, channels: Option<&[&str]>) -> Publisher {
    let channels = channels.map(|list| list.iter().map(|text| Pattern::parse(text).unwrap()).collect());
    let key = PublisherKey::generate().unwrap();
    Publisher { name: name.into(), key, key_file: None, channels, users: false, publications_per_second: None }
}

fn refusal(grant: &Grant, command: &str) -> Option<CommandError> {
    let PublisherFrame::One(Ok(request)) = PublisherFrame::parse(command) else { panic!("{command}") };
    grant.allows(Instant::now(), &request.command).err()
}

#[test]
fn each_key_is_found_among_all_and_nothing_else_is() {
    let publishers: Vec<_> = (0..20).map(|n| publisher(&format!("p{n}"), None)).collect();
    let single = PublisherKey::generate().unwrap();
    let config = Config { publishers: publishers.clone(), publisher_key: Some(single.clone()), ..Config::default() };
    let grants = Grants::new(&config);
    let name = |presented: &str| grants.by_key(presented).map(|grant| grant.name().to_owned());
    assert_eq!(name(single.secret()).as_deref(), Some("key"));
    for publisher in &publishers {
        assert_eq!(name(publisher.key.secret()).as_deref(), Some(&*publisher.name));
    }
    for other in ["", "rtk_", &single.secret()[..46], PublisherKey::generate().unwrap().secret()] {
        assert_eq!(name(other), None);
    }
    assert!(Grants::new(&Config::default()).by_key(single.secret()).is_none());
}

#[test]
fn a_key_reaches_its_own_channels_only_whatever_the_command() {
    let grant = Grant::named(&publisher("shop", Some(&["orders.*", "status"])));
    for (command, allowed) in [
        (r#"{"type":"broadcast_update","channel":"orders.1","data":1}"#, true),
        (r#"{"type":"broadcast_update","channel":"status","data":1}"#, true),
        (r#"{"type":"broadcast_update","channel":"status2","data":1}"#, false),
        (r#"{"type":"broadcast_update","user":"u7","data":1}"#, false),
        (r#"{"type":"broadcast_update","connection":"c","data":1}"#, false),
        (r#"{"type":"history","channel":"orders.1"}"#, true),
        (r#"{"type":"history","channel":"chat"}"#, false),
        (r#"{"type":"position","channel":"chat"}"#, false),
        (r#"{"type":"presence","channel":"chat"}"#, false),
        (r#"{"type":"subscribers","channel":"chat"}"#, false),
        (r#"{"type":"channels"}"#, false),
        (r#"{"type":"channels","prefix":"order"}"#, false),
        (r#"{"type":"channels","prefix":"orders."}"#, true),
        (r#"{"type":"channels","prefix":"orders.4"}"#, true),
        (r#"{"type":"channels","prefix":"status"}"#, false),
        (r#"{"type":"backup"}"#, false),
        (r#"{"type":"disconnect","user":"u7"}"#, false),
        (r#"{"type":"disconnect","connection":"c"}"#, false),
        (r#"{"type":"revoke","user":"u7"}"#, false),
        (r#"{"type":"unsubscribe","user":"u7","channel":"orders.1"}"#, false),
        (r#"{"type":"ping"}"#, true),
    ] {
        let refused = refusal(&grant, command);
        assert_eq!(refused.is_none(), allowed, "{command}: {refused:?}");
        if let Some(error) = refused {
            assert_eq!(error.code, ErrorCode::Forbidden);
            assert!(error.message.contains("\"shop\""), "{error}");
        }
    }
    let users = Grant::named(&Publisher { users: true, ..publisher("shop", Some(&["orders.*"])) });
    for command in [
        r#"{"type":"broadcast_update","user":"u7","data":1}"#,
        r#"{"type":"revoke","user":"u7"}"#,
        r#"{"type":"unsubscribe","user":"u7","channel":"orders.1"}"#,
    ] {
        assert_eq!(refusal(&users, command), None);
    }
    assert!(refusal(&users, r#"{"type":"unsubscribe","user":"u7","channel":"chat"}"#).is_some());
    let all = Grant::named(&publisher("cron", None));
    assert_eq!(refusal(&all, r#"{"type":"backup"}"#), None);
}

#[test]
fn a_key_has_its_rate_on_all_connections_together() {
    let limited = Publisher { publications_per_second: Some(2), ..publisher("slow", None) };
    let (grant, now) = (Grant::named(&limited), Instant::now());
    let channel = ChannelName::parse("c").unwrap();
    assert_eq!((0..2).map(|_| grant.may_publish(now, &channel)).collect::<Vec<_>>(), [Ok(()), Ok(())]);
    let refused = grant.may_publish(now, &channel).unwrap_err();
    assert_eq!((refused.code, refused.after), (ErrorCode::RateLimited, Some(500)));
    assert_eq!(grant.may_publish(now + std::time::Duration::from_millis(500), &channel), Ok(()));
}

#[test]
fn a_grant_lasts_as_long_as_its_key() {
    let (shop, cron) = (publisher("shop", Some(&["orders.*"])), publisher("cron", None));
    let grants = |publishers: &[&Publisher]| {
        Grants::new(&Config { publishers: publishers.iter().copied().cloned().collect(), ..Config::default() })
    };
    let before = grants(&[&shop, &cron]);
    let held = before.by_key(shop.key.secret()).unwrap();
    let wider = Publisher { channels: None, ..shop.clone() };
    let now = grants(&[&wider]);
    assert!(now.renewed(held).unwrap().covers(&ChannelName::parse("chat").unwrap()));
    assert!(now.renewed(before.by_key(cron.key.secret()).unwrap()).is_none());
    assert!(grants(&[&publisher("shop", None)]).renewed(held).is_none(), "another key");
    let renamed = grants(&[&Publisher { name: "old".into(), ..shop.clone() }]);
    assert_eq!(renamed.renewed(held).unwrap().name(), "old");
    assert!(now.renewed(before.unix()).is_some());
    let dev = Grants::new(&Config { dev: true, ..Config::default() });
    assert!(now.renewed(dev.dev().unwrap()).is_none());
}

#[test]
fn idempotency_keys_count_by_name_and_the_application_is_one() {
    let config = Config {
        publisher_key: Some(PublisherKey::generate().unwrap()),
        publishers: vec![publisher("publisher", None), publisher("shop", None)],
        dev: true,
        ..Config::default()
    };
    let grants = Grants::new(&config);
    let of = |index: usize| grants.by_key[index].scope();
    assert!(of(0) == grants.unix().scope() && of(0) == grants.dev().unwrap().scope());
    assert!(of(0) != of(1) && of(1) != of(2) && of(0) != of(2));
}

#[test]
fn debug_output_shows_no_key() {
    let shop = publisher("shop", None);
    let grants = Grants::new(&Config { publishers: vec![shop.clone()], ..Config::default() });
    assert!(!format!("{grants:?} {shop:?}").contains(&shop.key.secret()[4..]));
}
