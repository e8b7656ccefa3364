"""RDS Proxy in front of the owner's database, where the context asks for one.

The jobs' secret then names the proxy's endpoint in DATABASE_URL (an output of the shared stack); migrations and
provisioning keep the database's own address in DATABASE_ADMIN_URL, because DDL does not go through a pooler.
"""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra.constructs.roles import allow, service_role
from infra.deployment import Deployment
from infra.names import named
from infra.settings import DatabaseProxy, Network

BORROW_TIMEOUT_S = 5
"""A worker waits so long for a connection; then its batch goes back, as when the database is down."""
IDLE_TIMEOUT_S = 1800


class Proxy(Construct):
    """`<prefix>`: TLS only, PostgreSQL, in the functions' subnets."""

    def __init__(self, scope: Construct, proxy: DatabaseProxy, network: Network, deployment: Deployment) -> None:
        super().__init__(scope, "database-proxy")
        read = allow("ReadLogin", ["secretsmanager:GetSecretValue"], [proxy.secret_arn])
        role = service_role(self, "role", "rds.amazonaws.com", [read], names=["database-proxy"])
        made: rds.CfnDBProxy = named(
            rds.CfnDBProxy(
                self,
                "proxy",
                db_proxy_name=deployment.prefix,
                engine_family="POSTGRESQL",
                role_arn=role.attr_arn,
                require_tls=True,
                idle_client_timeout=IDLE_TIMEOUT_S,
                auth=[rds.CfnDBProxy.AuthFormatProperty(auth_scheme="SECRETS", secret_arn=proxy.secret_arn)],
                vpc_subnet_ids=list(network.subnet_ids),
                vpc_security_group_ids=list(network.security_group_ids),
            ),
            "database-proxy",
        )
        targets = rds.CfnDBProxyTargetGroup(
            self,
            "targets",
            db_proxy_name=made.ref,
            target_group_name="default",
            db_cluster_identifiers=[proxy.cluster] if proxy.cluster else None,
            db_instance_identifiers=[proxy.instance] if proxy.instance else None,
            connection_pool_configuration_info=rds.CfnDBProxyTargetGroup.ConnectionPoolConfigurationInfoFormatProperty(
                max_connections_percent=proxy.pool_percent, connection_borrow_timeout=BORROW_TIMEOUT_S
            ),
        )
        named(targets, "database-proxy", "targets")
        cdk.CfnOutput(self, "endpoint", value=made.attr_endpoint, description="Host of the jobs' DATABASE_URL")
