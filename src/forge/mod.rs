//! Forges: GitHub, GitLab, Gitea. Webhooks in, statuses, issues and tags out.
