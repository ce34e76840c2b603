"""Which services of OPC UA the wire offers to whom. Tables only."""

from __future__ import annotations

from asyncua import ua

Ids = ua.ObjectIds
DISCOVERY = frozenset(
    map(
        ua.NodeId,
        (
            Ids.GetEndpointsRequest_Encoding_DefaultBinary,
            Ids.FindServersRequest_Encoding_DefaultBinary,
            Ids.CloseSecureChannelRequest_Encoding_DefaultBinary,
        ),
    )
)
"""All that a channel without security may ask for where reading without it was not allowed."""
NEVER = frozenset(
    map(
        ua.NodeId,
        (
            Ids.RegisterServerRequest_Encoding_DefaultBinary,
            Ids.RegisterServer2Request_Encoding_DefaultBinary,
        ),
    )
)
SESSION_LESS = frozenset(
    map(
        ua.NodeId,
        (
            Ids.CreateSessionRequest_Encoding_DefaultBinary,
            Ids.ActivateSessionRequest_Encoding_DefaultBinary,
            Ids.CloseSessionRequest_Encoding_DefaultBinary,
        ),
    )
)
CREATE_SESSION = ua.NodeId(Ids.CreateSessionRequest_Encoding_DefaultBinary)
WRITE = ua.NodeId(Ids.WriteRequest_Encoding_DefaultBinary)
ANYBODY = DISCOVERY | frozenset(
    map(
        ua.NodeId,
        (
            Ids.ReadRequest_Encoding_DefaultBinary,
            Ids.BrowseRequest_Encoding_DefaultBinary,
            Ids.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary,
            Ids.CreateSubscriptionRequest_Encoding_DefaultBinary,
            Ids.ModifySubscriptionRequest_Encoding_DefaultBinary,
            Ids.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
            Ids.CreateMonitoredItemsRequest_Encoding_DefaultBinary,
            Ids.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
            Ids.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
            Ids.TransferSubscriptionsRequest_Encoding_DefaultBinary,
            Ids.SetMonitoringModeRequest_Encoding_DefaultBinary,
            Ids.SetPublishingModeRequest_Encoding_DefaultBinary,
            Ids.PublishRequest_Encoding_DefaultBinary,
            Ids.RepublishRequest_Encoding_DefaultBinary,
            Ids.RegisterNodesRequest_Encoding_DefaultBinary,
            Ids.UnregisterNodesRequest_Encoding_DefaultBinary,
            Ids.CallRequest_Encoding_DefaultBinary,  # each method looks at the caller by itself
        ),
    )
)
