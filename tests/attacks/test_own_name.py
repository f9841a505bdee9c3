"""What a member's monitor sees of its own name and of its own past, with a real broker and the real command."""

MX, CO, CA = "mx.enlace", "co.enlace", "ca.liaison"


def test_whoever_uses_a_copy_of_our_keys_shows_in_our_monitor(world):
    """Both tell no lie to the broker: it cannot know which of the two is the thief."""
    member, thief = world.member(MX), world.member(MX, new=True)
    first = thief.send(CA)
    world.logged()
    assert "0 alarms" in member.done("monitor", "--once")  # which takes it for another machine of ours
    second = thief.send(CA)
    world.logged()
    found = member.run("monitor", "--once", alone=True)
    assert found.exit_code == 10
    assert (
        f"ALARM: by the broker's word, message {second} was sent in our name, and not by this state folder"
        in found.output
    )
    assert first not in found.output
    assert member.run("monitor", "--once", alone=True).exit_code == 10
    member.done("monitor", "--seen")
    assert member.run("monitor", "--once", alone=True).exit_code == 0


def test_a_receipt_that_another_gave_with_our_keys_shows_in_our_monitor(world):
    member, thief = world.member(CO), world.member(CO, new=True)
    member.done("monitor", "--once")
    digest = world.member(MX).send(CO)
    thief.receive()
    world.logged()
    found = member.run("monitor", "--once", alone=True)
    assert found.exit_code == 10
    assert f"ConsignmentAcceptance of message {digest} was signed in our name" in found.output


def test_a_monitor_that_lost_everything_but_its_state_knows_another_log(world):
    member = world.member(CA)
    member.done("monitor", "--once")
    for path in member.state.glob("outbox.sqlite*"):
        path.unlink()
    entries = world.operator.entries()
    world.operator.logs[CA] = world.operator.forge(world.path(), entries[:-1])
    found = member.run("monitor", "--once")
    assert found.exit_code == 10
    assert "ALARM: the log shrank" in found.output
    world.operator.logs[CA] = world.operator.forge(world.path(), [*entries[1:], entries[0]])
    found = member.run("monitor", "--once")
    assert found.exit_code == 10
    assert "ALARM: two logs" in found.output


def test_a_monitor_reads_on_and_a_damaged_state_is_an_alarm(world):
    member = world.member(CA)
    first = member.run("monitor", "--once")
    assert (first.exit_code, "read from its first entry" in first.output) == (0, False)
    state = member.state / "monitor.state"
    state.write_bytes(state.read_bytes()[:-1])
    again = member.run("monitor", "--once")
    assert (again.exit_code, again.stdout) == (10, first.stdout.replace("0 alarms", "1 alarm"))
    assert f"ALARM: {state}, where the monitor keeps how far it read, was damaged" in again.output
