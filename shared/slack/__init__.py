"""Slack: the one way to post into a tenant's or the platform's workspace, and into an incoming webhook."""

from shared.slack.posts import Outcome, Workspace, channel_of, post
from shared.slack.text import escape, mention
from shared.slack.webhook import webhook_post

__all__ = ["Outcome", "Workspace", "channel_of", "escape", "mention", "post", "webhook_post"]
