"""Who says, by tags at the cloud, that a machine is its own: two who steer one machine undo each other's work.

Pure. Only tags that a controller writes by itself count; a person's words do not.
"""

from collections.abc import Mapping
from typing import Final

from catalog.messages.contracts import TAG_MACHINE

# (the tag's name, or how it begins where that ends with ":" or "/"; who writes it)
_MARKS: Final = (
    (TAG_MACHINE, "a Crossway gateway"),
    ("aws:autoscaling:", "an Auto Scaling group"),
    ("aws:cloudformation:", "a CloudFormation stack"),
    ("aws:ec2:fleet-id", "an EC2 fleet"),
    ("aws:ec2spot:", "a spot fleet"),
    ("aws:eks:", "an EKS cluster"),
    ("eks:", "an EKS cluster"),
    ("aws:elasticmapreduce:", "an EMR cluster"),
    ("elasticbeanstalk:", "an Elastic Beanstalk environment"),
    ("kubernetes.io/cluster/", "a Kubernetes cluster"),
    ("karpenter.sh/", "Karpenter"),
    ("sigs.k8s.io/", "a Cluster API controller"),
    ("metering.stack", "a Heat stack"),
)


def claimed_by(tags: Mapping[str, str]) -> str:
    """Return in words who steers the machine that carries ``tags``, "" for nobody that is known.

    The words are our own: nothing of what the cloud sent is in them.
    """
    for mark, whose in _MARKS:
        begins = mark[-1] in ":/"
        if any(name == mark or (begins and name.startswith(mark)) for name in tags):
            return f"{whose} (tag {mark}{'…' if begins else ''})"
    return ""
