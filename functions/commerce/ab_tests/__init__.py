"""A/B tests of the storefront, from draft to report. The storefront assigns visitors, these jobs never do."""
