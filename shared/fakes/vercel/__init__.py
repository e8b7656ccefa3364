"""A stateful fake of the part of Vercel's REST API that reads a project's environment.

GET /v10/projects/{idOrName}/env         all variables, values encrypted; customEnvironmentSlug, until, teamId, slug
GET /v1/projects/{idOrName}/env/{id}     one variable, decrypted

Tokens are refused as Vercel refuses them, a team's project is unknown without its team, a sensitive value is given to
nobody. What was asked stands in `asked`; `faults` are answered first, one each.
"""

from shared.fakes.serving import Fault
from shared.fakes.vercel.fake import Project, Variable, VercelFake

__all__ = ["Fault", "Project", "Variable", "VercelFake"]
