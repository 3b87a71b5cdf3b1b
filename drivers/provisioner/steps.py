"""The provisioner's steps, in the order in which they pass; some are also reported to the order's watcher."""

# Every point at which a crash leaves something different behind, here or in the cloud. Crash tests die at each,
# so a step that is added here without surviving that fails the suite.
PROVISION_STEPS = (
    "provision.receive.begin",  # a message is here, nothing of it is written
    "provision.receive.end",  # it is in the journal, the queue does not know
    "provision.taken",  # a job is leased
    "provision.look-up.begin",  # the cloud is asked what it has for the machine
    "provision.look-up.end",  # it answered, nothing is decided
    "provision.create.begin",  # the journal says that a creation may happen
    "provision.create.end",  # the cloud said that it happened, the journal does not know
    "provision.created",  # the journal knows the cloud's id
    "provision.running",  # it runs, the journal does not know
    "provision.reported",  # the result is in the journal and in the outbox
    "provision.destroy.begin",  # a machine is about to be destroyed
    "provision.destroy.end",  # the cloud accepted that, the journal does not know
    "provision.publish.begin",  # a result is read from the outbox
    "provision.publish.end",  # the queue has it, the outbox does not know
    "provision.marked",  # the outbox knows
)
