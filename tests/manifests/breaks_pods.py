"""What can be broken in how pods are run, drained and scaled."""

from .breaks import SCALERS, SHIPPING, Break

BROKEN = {
    # Probes
    "probe-path": Break(
        SHIPPING, "path: /readyz", "path: /ready", "local: Deployment/shipping shipping.readinessProbe:"
    ),
    "probe-port": Break(
        SHIPPING,
        "path: /readyz, port: http",
        "path: /readyz, port: 8004",
        "local: Deployment/shipping shipping.readinessProbe:",
    ),
    "liveness-by-readiness": Break(
        SHIPPING,
        "livenessProbe:\n            httpGet: {path: /livez",
        "livenessProbe:\n            httpGet: {path: /readyz",
        "local: Deployment/shipping shipping.livenessProbe:",
    ),
    # Security
    "root": Break(
        SHIPPING, "runAsUser: 10001", "runAsUser: 0", "local: Deployment/shipping securityContext.runAsUser:"
    ),
    "user-of-another-image": Break(
        SHIPPING, "runAsUser: 10001", "runAsUser: 1000", "local: Deployment/shipping securityContext.runAsUser:"
    ),
    "may-be-root": Break(
        SHIPPING,
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        "local: Deployment/shipping securityContext.runAsNonRoot:",
    ),
    "no-seccomp": Break(
        SHIPPING,
        "seccompProfile: {type: RuntimeDefault}",
        "seccompProfile: {type: Unconfined}",
        "local: Deployment/shipping securityContext.seccompProfile:",
    ),
    "escalation": Break(
        SHIPPING,
        "allowPrivilegeEscalation: false",
        "allowPrivilegeEscalation: true",
        "local: Deployment/shipping migrate.securityContext.allowPrivilegeEscalation:",
    ),
    "writable-root": Break(
        SHIPPING,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "local: Deployment/shipping migrate.securityContext.readOnlyRootFilesystem:",
    ),
    "capabilities": Break(
        SHIPPING,
        "capabilities: {drop: [ALL]}",
        "capabilities: {drop: [NET_RAW]}",
        "local: Deployment/shipping migrate.securityContext.capabilities:",
    ),
    "token": Break(
        SHIPPING,
        "automountServiceAccountToken: false\n      enable",
        "automountServiceAccountToken: true\n      enable",
        "local: Deployment/shipping automountServiceAccountToken:",
    ),
    "namespace-not-restricted": Break(
        "base/namespace.yaml",
        "enforce: restricted",
        "enforce: baseline",
        "local: Namespace/waybill-tryout labels pod-security.kubernetes.io/enforce:",
    ),
    # Drain
    "grace": Break(
        SHIPPING,
        "terminationGracePeriodSeconds: 75",
        "terminationGracePeriodSeconds: 60",
        "local: Deployment/shipping terminationGracePeriodSeconds: is 60 s, not more than 5 s preStop + 40 s drain",
    ),
    "no-grace": Break(
        SHIPPING,
        "      terminationGracePeriodSeconds: 75\n",
        "",
        "local: Deployment/shipping terminationGracePeriodSeconds: is 30 s",
    ),
    "drain-longer-than-grace": Break(
        SHIPPING,
        '  SHIPPING_MIGRATE_AT_START: "false"',
        '  SHIPPING_MIGRATE_AT_START: "false"\n  SHIPPING_DRAIN_SECONDS: "70"',
        "local: Deployment/shipping terminationGracePeriodSeconds:",
    ),
    "drain-shorter-than-an-activity": Break(
        SHIPPING,
        '  SHIPPING_MIGRATE_AT_START: "false"',
        '  SHIPPING_MIGRATE_AT_START: "false"\n  SHIPPING_DRAIN_SECONDS: "30"',
        "local: Deployment/shipping SHIPPING_DRAIN_SECONDS: the drain is 30 s, not longer than the longest activity",
    ),
    "no-pause": Break(
        SHIPPING,
        "sleep: {seconds: 5}",
        'exec: {command: ["true"]}',
        "local: Deployment/shipping lifecycle.preStop.sleep:",
    ),
    "shrinks-too-fast": Break(
        SCALERS,
        "periodSeconds: 90",
        "periodSeconds: 60",
        "production: ScaledObject/orchestrator behavior.scaleDown:",
        "production",
    ),
    # Scaling
    "replicas-beside-an-autoscaler": Break(
        SHIPPING,
        "  revisionHistoryLimit: 5",
        "  revisionHistoryLimit: 5\n  replicas: 2",
        "production: Deployment/shipping spec.replicas:",
        "production",
    ),
    "more-than-the-database-takes": Break(
        SCALERS,
        "maxReplicaCount: 6",
        "maxReplicaCount: 16",
        "production: ScaledObject/inventory maxReplicaCount:",
        "production",
    ),
    "to-zero": Break(
        SCALERS,
        "minReplicaCount: 2",
        "minReplicaCount: 0",
        "production: ScaledObject/orchestrator minReplicaCount:",
        "production",
    ),
    "budget": Break(
        SHIPPING,
        "maxUnavailable: 1\n  unhealthy",
        "minAvailable: 1\n  unhealthy",
        "local: Deployment/shipping: has no PodDisruptionBudget",
    ),
}
