from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, GraphQLScalarType
from validate import railway_schema

from pantheon_runbook.sandbox.planes.railway import schema

if TYPE_CHECKING:
    from plane_cloud import Cloud

pytestmark = pytest.mark.contract


def test_schema_is_part_of_the_official_one() -> None:
    """Every type, field, argument, input field and enum value is there, with the identical type."""
    official = railway_schema().type_map
    wrong: list[str] = []
    for name, ours in schema().type_map.items():
        theirs = official.get(name)
        if theirs is None or type(theirs) is not type(ours):
            wrong.append(name)
        elif isinstance(ours, GraphQLScalarType):
            continue
        elif isinstance(ours, GraphQLEnumType):
            assert isinstance(theirs, GraphQLEnumType)
            wrong += [f"{name}.{value}" for value in ours.values if value not in theirs.values]
        elif isinstance(ours, (GraphQLObjectType, GraphQLInputObjectType)) and not name.startswith("__"):
            assert isinstance(theirs, (GraphQLObjectType, GraphQLInputObjectType))
            for field_name, field in ours.fields.items():
                other = theirs.fields.get(field_name)
                if other is None or str(other.type) != str(field.type):
                    wrong.append(f"{name}.{field_name}")
                    continue
                known = getattr(other, "args", {})
                given = {argument: str(one.type) for argument, one in getattr(field, "args", {}).items()}
                if given != {argument: str(known[argument].type) for argument in given if argument in known}:
                    wrong.append(f"{name}.{field_name}({', '.join(given)})")
    assert [] == wrong


def test_no_required_argument_or_input_is_left_out() -> None:
    """A request that the official schema takes with what it demands is one that ours understands."""
    missing: list[str] = []
    for name, ours in schema().type_map.items():
        theirs = railway_schema().type_map.get(name)
        if isinstance(ours, GraphQLInputObjectType) and isinstance(theirs, GraphQLInputObjectType):
            needed = [key for key, field in theirs.fields.items() if str(field.type).endswith("!")]
            missing += [f"{name}.{key}" for key in needed if key not in ours.fields]
        if isinstance(ours, GraphQLObjectType) and isinstance(theirs, GraphQLObjectType):
            for key, field in ours.fields.items():
                needed = (
                    [arg for arg, one in theirs.fields[key].args.items() if str(one.type).endswith("!")]
                    if key in theirs.fields
                    else []
                )
                missing += [f"{name}.{key}({argument})" for argument in needed if argument not in field.args]
    assert [] == missing


EVERYTHING = """
query($project: String!, $environment: String!, $service: String!, $deployment: String!) {
  buildLogs(deploymentId: $deployment, limit: 5) { message severity timestamp attributes { key value } }
  deploymentLogs(deploymentId: $deployment) { message severity timestamp }
  me { id email name workspaces { id name plan } }
  apiToken { workspaces { id name } }
  projects { edges { node { id name } } pageInfo { hasNextPage endCursor } }
  project(id: $project) {
    id name workspaceId baseEnvironmentId primaryEnvironmentId subscriptionType prDeploys
    isPublic botPrEnvironments focusedPrEnvironments
    environments { edges { node { id name isEphemeral unmergedChangesCount } } }
    services { edges { node { id name icon } } }
    volumes { edges { node { id name } } }
    members { email role }
  }
  environments(projectId: $project, isEphemeral: false) { edges { node { id name } } }
  environment(id: $environment, projectId: $project) {
    id name configEtag config(decryptVariables: false) sourceEnvironment { id }
    serviceInstances { edges { node { id serviceName } } }
    variables { edges { node { name isSealed serviceId references createdAt updatedAt } } }
    deploymentTriggers { edges { node { branch repository provider } } }
    volumeInstances { edges { node { mountPath sizeMB isPendingDeletion } } }
  }
  service(id: $service) { id name project { id } repoTriggers { edges { node { branch } } } }
  serviceInstance(environmentId: $environment, serviceId: $service) {
    id startCommand buildCommand preDeployCommand healthcheckPath rootDirectory numReplicas builder restartPolicyType
    source { image repo } latestDeployment { id status } activeDeployments { id status }
    domains { serviceDomains { domain targetPort } customDomains { domain } }
  }
  variables(projectId: $project, environmentId: $environment, serviceId: $service)
  unrendered: variables(projectId: $project, environmentId: $environment, serviceId: $service, unrendered: true)
  variablesForServiceDeployment(projectId: $project, environmentId: $environment, serviceId: $service)
  deployments(input: {projectId: $project, environmentId: $environment, status: {in: [SUCCESS]}}, first: 5) {
    edges { cursor node { id status createdAt url staticUrl meta canRedeploy canRollback statusUpdatedAt } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
  domains(projectId: $project, environmentId: $environment, serviceId: $service) {
    serviceDomains { id domain syncStatus }
  }
  deploymentTriggers(projectId: $project, environmentId: $environment, serviceId: $service) {
    edges { node { branch repository environmentId } }
  }
  serviceInstanceAutoDeployStatus(projectId: $project, environmentId: $environment, serviceId: $service) {
    enabled canEnable reason
  }
  projectTokens(projectId: $project) { edges { node { name displayToken } } }
  tcpProxies(environmentId: $environment, serviceId: $service) { domain proxyPort applicationPort syncStatus }
  workflowStatus(workflowId: "none") { status error }
  template(code: "redis") { id name serializedConfig status }
}
"""


def test_queries_are_answered_as_described(cloud: Cloud, problems: list[str]) -> None:
    facts = cloud.facts["railway"]
    known = {
        "project": facts["project_id"],
        "environment": facts["environment_id"],
        "service": facts["services"]["api"],
        "deployment": facts["deployments"]["api"],
    }
    data = cloud.railway(EVERYTHING, known)
    assert "pantheon" == data["project"]["name"]
    assert [] == problems


def test_mutations_are_answered_as_described(cloud: Cloud, problems: list[str]) -> None:
    """A staging project of its own, from its creation to its end."""
    project = cloud.railway(
        'mutation { projectCreate(input: {name: "pantheon-staging", defaultEnvironmentName: "staging"}) '
        "{ id name baseEnvironment { id name } } }"
    )["projectCreate"]
    ids = {"project": project["id"], "environment": project["baseEnvironment"]["id"]}
    service = cloud.railway(
        "mutation($input: ServiceCreateInput!) { serviceCreate(input: $input) { id name } }",
        {"input": {"projectId": ids["project"], "name": "api", "variables": {"A": "1"}}},
    )["serviceCreate"]
    ids["service"] = service["id"]
    both = "projectId: $project, environmentId: $environment, serviceId: $service"
    instance = "environmentId: $environment, serviceId: $service"
    update = '{rootDirectory: "backend", startCommand: "python -m app", source: {repo: "pantheon/pantheon"}}'
    copy = 'projectId: $project, name: "two", sourceEnvironmentId: $environment, skipInitialDeploys: true'
    steps = (
        f'variableUpsert(input: {{{both}, name: "B", value: "2", skipDeploys: true}})',
        f'variableCollectionUpsert(input: {{{both}, variables: {{C: "3"}}, skipDeploys: true}})',
        f'variableDelete(input: {{{both}, name: "C"}})',
        f"serviceInstanceUpdate({instance}, input: {update})",
        f"serviceInstanceAutoDeployUpdate(input: {{{both}, enabled: true}}) {{ enabled }}",
        f"serviceInstanceAutoDeployUpdate(input: {{{both}, enabled: false}}) {{ enabled }}",
        f"serviceDomainCreate(input: {{{instance}}}) {{ id domain }}",
        f"serviceInstanceDeployV2({instance})",
        f"serviceInstanceDeploy({instance}, latestCommit: true)",
        f"serviceInstanceRedeploy({instance})",
        f"environmentTriggersDeploy(input: {{{both}}})",
        'serviceUpdate(id: $service, input: {name: "api", icon: "x"}) { id }',
        f"tcpProxyCreate(input: {{{instance}, applicationPort: 6379}}) {{ domain proxyPort syncStatus }}",
        f'customDomainCreate(input: {{{both}, domain: "api.example.com"}}) {{ id domain syncStatus isRailwayDomain }}',
        f'deploymentTriggerCreate(input: {{{both}, branch: "a", provider: "github", repository: "a/b"}}) {{ id }}',
        "projectUpdate(id: $project, input: {prDeploys: true, botPrEnvironments: true}) { prDeploys }",
        'projectMemberAdd(input: {projectId: $project, userId: "guest", role: VIEWER}) { id email role }',
        'projectMemberUpdate(input: {projectId: $project, userId: "guest", role: ADMIN}) { id email role }',
        f'volumeCreate(input: {{{both}, mountPath: "/data"}}) {{ id name }}',
        'projectTokenCreate(input: {projectId: $project, environmentId: $environment, name: "runbook"})',
        'serviceConnect(id: $service, input: {repo: "pantheon/pantheon", branch: "main"}) { id }',
        "serviceDisconnect(id: $service) { id }",
        'environmentRename(id: $environment, input: {name: "stage"}) { id name }',
        f"environmentCreate(input: {{{copy}}}) {{ id name }}",
        "serviceDelete(id: $service, environmentId: $environment)",
        "projectDelete(id: $project)",
    )
    for step in steps:
        used = [name for name in ids if f"${name}" in step]
        declared = ", ".join(f"${name}: String!" for name in used)
        cloud.railway(f"mutation({declared}) {{ {step} }}", {name: ids[name] for name in used})
    assert [] == problems
