"""Railway, one environment: the questions that show it, none of which can show a variable's value.

Not asked for: `variables` and `config`, which hold values; `configEtag`, which changes with them; logs, metrics and
usage, which change by themselves; private networks, egress addresses and buckets of Railway's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pantheon_runbook.errors import VendorRefusedError
from pantheon_runbook.providers.enumerated import reads
from pantheon_runbook.providers.railway import RailwayApi, every_page, project_token, workspaces

SHARED = "shared"  # in addresses: the environment's own variables


class Question(NamedTuple):
    """A document, and where in its answer the thing, the list or the pages are."""

    document: str
    path: tuple[str, ...]


PROJECT = Question(
    reads("""
query ProjectSettings($id: String!) {
  project(id: $id) {
    id name workspaceId isPublic prDeploys botPrEnvironments focusedPrEnvironments baseEnvironmentId
  }
}"""),
    ("project",),
)
MEMBERS = Question(
    reads("query ProjectMembers($id: String!) { project(id: $id) { members { id email role } } }"),
    ("project", "members"),
)
ENVIRONMENTS = Question(
    reads("""
query ProjectEnvironments($projectId: String!, $after: String) {
  environments(projectId: $projectId, first: 100, after: $after) {
    edges { node { id name isEphemeral deletedAt sourceEnvironment { id } } }
    pageInfo { hasNextPage endCursor }
  }
}"""),
    ("environments",),
)
PROJECT_TOKENS = Question(
    reads("""
query ProjectTokens($projectId: String!, $after: String) {
  projectTokens(projectId: $projectId, first: 100, after: $after) {
    edges { node { id name environmentId } }
    pageInfo { hasNextPage endCursor }
  }
}"""),
    ("projectTokens",),
)
ENVIRONMENT = Question(
    reads("""
query EnvironmentSettings($id: String!, $projectId: String) {
  environment(id: $id, projectId: $projectId) {
    id name isEphemeral unmergedChangesCount sourceEnvironment { id }
  }
}"""),
    ("environment",),
)
SERVICES = Question(
    reads("""
query ServiceSettings($id: String!, $projectId: String, $after: String) {
  environment(id: $id, projectId: $projectId) {
    serviceInstances(first: 50, after: $after) {
      edges { node {
        id serviceId serviceName deletedAt
        source { image repo }
        builder buildCommand dockerfilePath nixpacksPlan rootDirectory watchPatterns railwayConfigFile
        startCommand preDeployCommand cronSchedule numReplicas region sleepApplication
        healthcheckPath healthcheckTimeout drainingSeconds overlapSeconds
        restartPolicyType restartPolicyMaxRetries ipv6EgressEnabled upstreamUrl
        domains {
          serviceDomains { domain targetPort deletedAt }
          customDomains { domain targetPort deletedAt }
        }
      } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""),
    ("environment", "serviceInstances"),
)
VARIABLES = Question(
    reads("""
query VariableTimes($id: String!, $projectId: String, $after: String) {
  environment(id: $id, projectId: $projectId) {
    variables(first: 200, after: $after) {
      edges { node { name serviceId isSealed references updatedAt } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""),
    ("environment", "variables"),
)
VOLUMES = Question(
    reads("""
query VolumeSettings($id: String!, $projectId: String, $after: String) {
  environment(id: $id, projectId: $projectId) {
    volumeInstances(first: 100, after: $after) {
      edges { node { id serviceId mountPath region sizeMB isPendingDeletion deletedAt volume { id name } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""),
    ("environment", "volumeInstances"),
)
TRIGGERS = Question(
    reads("""
query Triggers($id: String!, $projectId: String, $after: String) {
  environment(id: $id, projectId: $projectId) {
    deploymentTriggers(first: 100, after: $after) {
      edges { node { id serviceId branch repository provider checkSuites baseEnvironmentOverrideId } }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""),
    ("environment", "deploymentTriggers"),
)
LIVE = Question(
    reads("""
query LiveDeployments($projectId: String!, $environmentId: String!, $after: String) {
  deployments(
    input: {projectId: $projectId, environmentId: $environmentId, status: {in: [SUCCESS, SLEEPING, CRASHED]}}
    first: 100, after: $after
  ) {
    edges { node { id serviceId createdAt meta } }
    pageInfo { hasNextPage endCursor }
  }
}"""),
    ("deployments",),
)
TCP_PROXIES = Question(
    reads("""
query TcpProxies($environmentId: String!, $serviceId: String!) {
  tcpProxies(environmentId: $environmentId, serviceId: $serviceId) { domain proxyPort applicationPort deletedAt }
}"""),
    ("tcpProxies",),
)


@dataclass(frozen=True, slots=True)
class Part:
    """What one question gave; `refused` is the vendor's reason not to answer it, "" when it did."""

    found: tuple[dict[str, Any], ...] = ()
    refused: str = ""

    @property
    def note(self) -> str:
        return f"Railway does not show this to the token: {self.refused}"


@dataclass(frozen=True, slots=True)
class TokenReach:
    """Where our own token ends: workspaces by name, or one environment."""

    workspaces: tuple[str, ...] = ()
    environment_id: str = ""


def ask(api: RailwayApi, question: Question, **given: str) -> Part:
    """Everything that the question is about, page by page, without what is deleted. Reads only.

    "Not Authorized" is also the answer for an id that does not exist (FACTS 2), so it is no error here; whether the
    token is one at all, `reach_of_token` tells. Errors: VendorUnavailableError.
    """
    try:
        found = every_page(api, question.document, question.path, given)
    except VendorRefusedError as refusal:
        return Part(refused=refusal.why)
    return Part(tuple(node for node in found if not node.get("deletedAt")))


def reach_of_token(api: RailwayApi) -> TokenReach:
    """How far our own token goes. Errors: VendorRefusedError when it is no token at all."""
    try:
        return TokenReach(workspaces=tuple(sorted(entry["name"] for entry in workspaces(api))))
    except VendorRefusedError:
        scope = project_token(api)
        if scope is None:
            raise
        return TokenReach(environment_id=scope.environment)


def labels_of(services: Part) -> dict[str, str]:
    """A service's name by its id; two of one name, or one called "shared", are told apart by their ids."""
    names = [SHARED, *(node["serviceName"] for node in services.found)]
    return {
        node["serviceId"]: node["serviceName"]
        if names.count(node["serviceName"]) == 1
        else f"{node['serviceName']}#{node['serviceId'][:8]}"
        for node in services.found
    }


def tcp_proxies(api: RailwayApi, services: Part, environment_id: str) -> dict[str, Part]:
    """By service id; there is no question for all services at once."""
    return {
        node["serviceId"]: ask(api, TCP_PROXIES, environmentId=environment_id, serviceId=node["serviceId"])
        for node in services.found
    }
