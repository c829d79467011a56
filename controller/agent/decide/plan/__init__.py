"""The planner: (what is wanted, what is observed, now) -> actions, a wake-up time and a verdict for each container. Pure.

One plan serves create, update, restart, exit, resume and delete: it looks at the state of the world, never at what happened.
Planning again in a world where the actions have been done gives no actions.

`instance.py` is the way in, `container.py` the step for one container, `bringup.py` what has to be there before one is made,
`teardown.py` how what is no longer wanted goes, `values.py` what they hand to each other.
"""

from controller.agent.decide.plan.bringup import pull_policy
from controller.agent.decide.plan.instance import LABELS_PATIENCE_SECONDS, RUNTIME_PATIENCE_SECONDS, plan
from controller.agent.decide.plan.values import Plan, Verdict

__all__ = ["LABELS_PATIENCE_SECONDS", "RUNTIME_PATIENCE_SECONDS", "Plan", "Verdict", "plan", "pull_policy"]
